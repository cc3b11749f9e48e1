import { MultiBar, type Options } from 'cli-progress';

/**
 * Progress bars. They hide the cursor and keep lines from wrapping, so however the process ends the terminal is put back: that a
 * person ends it is the rule for a command that watches. `stop` may be called more than once.
 */
export function createBars(options: Options): { readonly create: MultiBar['create']; readonly stop: () => void } {
  const multi = new MultiBar({ ...options, hideCursor: true });
  const stop = () => {
    // Stopped again, the bars would draw over what was printed since.
    if (multi.isActive) multi.stop();
  };
  process.once('exit', stop);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    // Whoever waits for this process shall see that the signal ended it.
    process.once(signal, () => {
      stop();
      process.kill(process.pid, signal);
    });
  }
  return { create: multi.create.bind(multi), stop };
}
