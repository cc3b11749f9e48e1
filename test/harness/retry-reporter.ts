import type { Reporter, TestCase } from 'vitest/node';

/** Says why a test failed that passed when it was run again: without it, the report only counts such tests. */
export class RetryReporter implements Reporter {
  onTestCaseResult(test: TestCase): void {
    const { state, errors = [] } = test.result();
    if (state !== 'passed') return;
    for (const { stack, message } of errors) console.log(`${test.fullName} failed first:\n${stack ?? message}`);
  }
}
