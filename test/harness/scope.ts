/** What a test, the demo or a bench started and must take back, in the reverse order, whatever happened in between. */
export class Scope {
  readonly #cleanups: Array<() => unknown> = [];

  /** Registers a cleanup; the last one registered runs first. */
  defer(cleanup: () => unknown): void {
    this.#cleanups.push(cleanup);
  }

  /** Runs every cleanup, also after one of them failed. Rejects with what failed. */
  async close(): Promise<void> {
    const failures: unknown[] = [];
    for (let cleanup = this.#cleanups.pop(); cleanup !== undefined; cleanup = this.#cleanups.pop()) {
      try {
        await cleanup();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, `cleanup failed: ${failures.map(String).join('; ')}`);
  }
}
