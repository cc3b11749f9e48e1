import { defineConfig } from 'vitest/config';
import { RetryReporter } from './test/harness/retry-reporter.ts';

/**
 * On a CI machine whose processors are someone else's for a second, what is real may be late once: such a test is run again, and
 * the report counts it and says why. One that fails twice fails.
 */
const retry = process.env.CI === 'true' ? 1 : 0;

/** `unit` decides without I/O; `integration` has real registries, sockets and disks; `e2e` real runtimes, one at a time. */
export default defineConfig({
  test: {
    reporters: ['default', new RetryReporter()],
    projects: [
      { test: { name: 'unit', include: ['test/unit/**/*.test.ts'] } },
      {
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts'],
          retry,
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          retry,
          testTimeout: 180_000,
          hookTimeout: 180_000,
          fileParallelism: false,
          // Of tests that say so (`concurrent`): those that mostly wait for a node's timers.
          maxConcurrency: 2,
        },
      },
    ],
  },
});
