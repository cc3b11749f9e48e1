import type { SecureContext } from 'node:tls';
import type { Dispatcher } from 'undici';
import { Connection, type Endpoint, type ResponseSink } from '../http1/connection.ts';
import type { ResponseHead } from '../http1/response-head.ts';

export interface DirectOptions {
  readonly secureContext: SecureContext;
  readonly connectTimeoutMs: number;
  readonly transferTimeoutMs: number;
  /** Connections to one origin at most; further requests wait for one. */
  readonly connections: number;
  /** Takes the other methods. */
  readonly fallback: Dispatcher;
}

/** Milliseconds that an unused connection is kept: below the idle bound of common servers (nginx 75 s, Go none, clouds 5 s). */
const idleMs = 4_000;

/** The part of undici's dispatcher that the registry client uses. */
export type Dispatch = Pick<Dispatcher, 'dispatch'>;

/**
 * Sends GETs over connections of our own, which receive at a fraction of undici's cost (docs/architecture.md, libraries), and
 * everything else through undici. To its callers it is one of undici's dispatchers.
 */
export class DirectDispatcher implements Dispatch {
  readonly #options: DirectOptions;
  readonly #pools = new Map<string, Pool>();

  constructor(options: DirectOptions) {
    this.#options = options;
  }

  dispatch(request: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    const origin = new URL(String(request.origin));
    const headers = { host: origin.host, ...(request.headers as Readonly<Record<string, string>>) };
    const plain = request.method === 'GET' && [request.path, ...Object.values(headers)].every(fitsALine);
    if (!plain) return this.#options.fallback.dispatch(request, handler);
    const exchange = new DirectExchange(handler, { again: () => this.dispatch(request, handler) });
    this.#poolOf(origin).enter({ path: request.path, headers, exchange });
    return true;
  }

  /** Ends every connection; answers under way fail. */
  destroy(): void {
    for (const pool of this.#pools.values()) pool.destroy();
    this.#pools.clear();
  }

  #poolOf(origin: URL): Pool {
    let pool = this.#pools.get(origin.origin);
    if (pool === undefined) {
      const { secureContext, connectTimeoutMs, transferTimeoutMs, connections } = this.#options;
      const secure = origin.protocol === 'https:';
      // URL keeps the brackets of an IPv6 address.
      const host = origin.hostname.replace(/^\[(.*)\]$/, '$1');
      const endpoint: Endpoint = {
        host,
        port: Number(origin.port) || (secure ? 443 : 80),
        ...(secure && { secureContext }),
        connectTimeoutMs,
        transferTimeoutMs,
        idleMs,
      };
      pool = new Pool(endpoint, connections, () => this.#pools.delete(origin.origin));
      this.#pools.set(origin.origin, pool);
    }
    return pool;
  }
}

/** A request that has, or waits for, a connection. */
interface Entry {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly exchange: DirectExchange;
}

/** The connections to one origin, and who waits for one, in order. */
class Pool {
  readonly #endpoint: Endpoint;
  readonly #maximum: number;
  readonly #onEmpty: () => void;
  readonly #connections = new Set<Connection>();
  readonly #waiting: Entry[] = [];

  constructor(endpoint: Endpoint, maximum: number, onEmpty: () => void) {
    this.#endpoint = endpoint;
    this.#maximum = maximum;
    this.#onEmpty = onEmpty;
  }

  enter(entry: Entry): void {
    this.#waiting.push(entry);
    this.#serve();
  }

  destroy(): void {
    const closed = Object.assign(new Error('the registry client was closed'), { code: 'UND_ERR_DESTROYED' });
    for (const { exchange } of this.#waiting.splice(0)) exchange.failed(closed, false);
    for (const connection of this.#connections) connection.destroy(closed);
  }

  #serve(): void {
    while (this.#waiting.length > 0) {
      if (this.#waiting[0]?.exchange.aborted) {
        this.#waiting.shift();
        continue;
      }
      const connection = this.#free();
      if (connection === undefined) return;
      const entry = this.#waiting.shift();
      if (entry !== undefined) entry.exchange.send(connection, entry.path, entry.headers);
    }
  }

  #free(): Connection | undefined {
    for (const connection of this.#connections) if (connection.idle) return connection;
    if (this.#connections.size >= this.#maximum) return undefined;
    const connection = new Connection(this.#endpoint);
    this.#connections.add(connection);
    connection.onIdle = () => this.#serve();
    connection.onClose = () => {
      this.#connections.delete(connection);
      this.#serve();
      if (this.#connections.size === 0) this.#onEmpty();
    };
    return connection;
  }
}

/** One GET, told to a handler of undici's. */
class DirectExchange implements ResponseSink, Dispatcher.DispatchController {
  readonly #handler: Dispatcher.DispatchHandler;
  readonly #again: () => void;
  #connection: Connection | undefined;
  aborted = false;
  paused = false;
  reason: Error | null = null;

  /** `again` sends the same request once more; nothing of an answer has been told to the handler then. */
  constructor(handler: Dispatcher.DispatchHandler, { again }: { readonly again: () => void }) {
    this.#handler = handler;
    this.#again = again;
    handler.onRequestStart?.(this, undefined);
  }

  send(connection: Connection, path: string, headers: Readonly<Record<string, string>>): void {
    this.#connection = connection;
    connection.get(path, headers, this);
  }

  head(head: ResponseHead): void {
    this.#handler.onResponseStart?.(this, head.status, head.fields);
  }

  body(chunk: Buffer): boolean {
    this.#handler.onResponseData?.(this, chunk);
    return !this.paused;
  }

  ended(): void {
    this.#handler.onResponseEnd?.(this, {});
  }

  failed(error: Error, stale: boolean): void {
    if (stale && !this.aborted) this.#again();
    else this.#handler.onResponseError?.(this, error);
  }

  abort(reason: Error): void {
    if (this.aborted) return;
    this.aborted = true;
    this.reason = reason;
    this.#connection?.destroy(reason);
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    if (!this.paused) return;
    this.paused = false;
    this.#connection?.resume();
  }
}

/** What goes into a line of a request must not end it. */
function fitsALine(text: string): boolean {
  return /^[\t\x20-\x7e\x80-\xff]*$/.test(text);
}
