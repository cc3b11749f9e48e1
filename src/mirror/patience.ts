/** Aborts a request when what it waits for does not come in time. */
export class Patience {
  readonly #abort: AbortController;
  #timer: NodeJS.Timeout | undefined;

  constructor(abort: AbortController) {
    this.#abort = abort;
  }

  /** Waits at most `seconds` from now; the signal's reason is then `cause()`. */
  start(seconds: number, cause: () => Error): void {
    this.stop();
    this.#timer = setTimeout(() => this.#abort.abort(cause()), seconds * 1000);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}
