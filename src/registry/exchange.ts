import type { Dispatcher } from 'undici';
import { connectionFailure, describeRequest, TransientError } from './failure.ts';
import { RegistryError } from './types.ts';

export interface HttpRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT';
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds for the whole exchange. Absent for blobs: there the time without a byte is bounded. */
  readonly deadlineMs?: number;
}

export type HttpHeaders = Readonly<Record<string, string | string[] | undefined>>;

/** `enough` ends the exchange; what the server still sends is cut off. */
export type Appetite = 'more' | 'enough';

/** Takes an answer in. What it throws ends the exchange and becomes its rejection. */
export interface HttpReader {
  onHeaders(status: number, headers: HttpHeaders): Appetite;
  /** A promise pauses the connection until it resolves; the next chunk comes after that. */
  onData(chunk: Buffer): Appetite | Promise<Appetite>;
}

/** Informational answers (1xx) before the real one: some proxies send a few, a hostile server would never stop. */
const maxInformational = 16;

/**
 * One request and its answer, without redirects. Resolves when the body has ended and the reader has taken all of it, or
 * the reader had enough. Rejects with the signal's reason, with what the reader threw, or with a `RegistryError`.
 */
export function exchange(
  dispatcher: Pick<Dispatcher, 'dispatch'>,
  request: HttpRequest,
  reader: HttpReader,
): Promise<void> {
  return new Promise((resolve, reject) => {
    request.signal?.throwIfAborted();
    const handler = new ExchangeHandler(request, reader, { resolve, reject });
    dispatcher.dispatch(
      {
        origin: request.url.origin,
        path: `${request.url.pathname}${request.url.search}`,
        method: request.method,
        headers: request.headers,
        body: request.body ?? null,
      },
      handler,
    );
  });
}

/** undici's callbacks for one exchange; the answer's bytes pass through without a stream and without a copy. */
class ExchangeHandler implements Dispatcher.DispatchHandler {
  readonly #request: HttpRequest;
  readonly #reader: HttpReader;
  readonly #settled: { readonly resolve: () => void; readonly reject: (error: unknown) => void };
  readonly #deadline: NodeJS.Timeout | undefined;
  #controller: Dispatcher.DispatchController | undefined;
  #finished = false;
  #informational = 0;
  /** The reader's promise, while it digests a chunk. */
  #digesting: Promise<void> | undefined;

  constructor(
    request: HttpRequest,
    reader: HttpReader,
    settled: { resolve: () => void; reject: (error: unknown) => void },
  ) {
    this.#request = request;
    this.#reader = reader;
    this.#settled = settled;
    request.signal?.addEventListener('abort', this.#onAbort);
    if (request.deadlineMs !== undefined) this.#deadline = setTimeout(this.#onDeadline, request.deadlineMs);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    // Given up while it waited for a connection.
    if (this.#finished) this.#cut();
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: HttpHeaders): void {
    if (this.#finished) return;
    if (status < 200) {
      this.#informational += 1;
      if (this.#informational > maxInformational) {
        const request = describeRequest(this.#request.method, this.#request.url);
        const message = `${request}: more than ${maxInformational} informational answers`;
        this.#giveUp(new RegistryError('invalid', message));
      }
      return;
    }
    try {
      if (this.#reader.onHeaders(status, headers) === 'enough') this.#stop();
    } catch (error) {
      this.#giveUp(error);
    }
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#finished) return;
    // When the server closes a paused connection undici flushes what it still had: those chunks wait their turn.
    if (this.#digesting !== undefined) {
      this.#digest(
        controller,
        this.#digesting.then(() => (this.#finished ? 'enough' : this.#reader.onData(chunk))),
      );
      return;
    }
    try {
      const appetite = this.#reader.onData(chunk);
      if (appetite === 'enough') this.#stop();
      else if (appetite !== 'more') {
        controller.pause();
        this.#digest(controller, appetite);
      }
    } catch (error) {
      this.#giveUp(error);
    }
  }

  onResponseEnd(): void {
    if (this.#digesting === undefined) this.#succeed();
    else this.#digesting.then(() => this.#succeed());
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    const failure = connectionFailure(describeRequest(this.#request.method, this.#request.url), error);
    // The reader finishes what it has: the next try would write to the same place.
    if (this.#digesting === undefined) this.#giveUp(failure);
    else this.#digesting.then(() => this.#giveUp(failure));
  }

  #digest(controller: Dispatcher.DispatchController, appetite: Promise<Appetite>): void {
    const digesting = appetite.then(
      (answer) => {
        if (this.#digesting === digesting) this.#digesting = undefined;
        if (answer === 'enough') this.#stop();
        else if (this.#digesting === undefined) controller.resume();
      },
      (error) => this.#giveUp(error),
    );
    this.#digesting = digesting;
  }

  readonly #onAbort = (): void => this.#giveUp(this.#request.signal?.reason);

  readonly #onDeadline = (): void => {
    const request = describeRequest(this.#request.method, this.#request.url);
    const message = `${request}: no complete answer within ${this.#request.deadlineMs} ms`;
    this.#giveUp(new TransientError('unavailable', message));
  };

  /** The reader has enough: success, without the rest. */
  #stop(): void {
    this.#succeed();
    this.#cut();
  }

  #succeed(): void {
    if (this.#finish()) this.#settled.resolve();
  }

  #giveUp(error: unknown): void {
    if (this.#finish()) this.#settled.reject(error);
    this.#cut();
  }

  /** Only the first outcome counts: false for every later one. */
  #finish(): boolean {
    if (this.#finished) return false;
    this.#finished = true;
    this.#request.signal?.removeEventListener('abort', this.#onAbort);
    clearTimeout(this.#deadline);
    return true;
  }

  /** Ends the connection of an unfinished answer; without effect on a finished one's, which the next request uses. */
  #cut(): void {
    this.#controller?.abort(new Error('the request was given up'));
  }
}
