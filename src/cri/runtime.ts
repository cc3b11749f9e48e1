import { once } from 'node:events';
import { type ClientHttp2Session, type ClientHttp2Stream, connect, type OutgoingHttpHeaders } from 'node:http2';
import { connect as connectSocket, type Socket } from 'node:net';
import { sessionLimits, sessionWindowBytes } from './http2-limits.ts';

/** A call at the runtime. */
export interface RuntimeCall {
  readonly stream: ClientHttp2Stream;
  /** Whether the connection to the runtime broke, as against a stream that the runtime itself ended. */
  lost(): boolean;
}

interface Connection {
  readonly session: ClientHttp2Session;
  lost: boolean;
}

/** The runtime can't be reached. The message names its socket, the cause and the mend. */
export class RuntimeAwayError extends Error {
  constructor(socketPath: string, cause: unknown) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    super(`the container runtime does not answer on ${socketPath} (${reason}): is it running?`, { cause });
    this.name = 'RuntimeAwayError';
  }
}

/**
 * The runtime's socket: one HTTP/2 session for all calls. Where there is none, the next call makes one, so a runtime
 * that comes back is used at once; nothing waits, backs off or polls.
 */
export class Runtime {
  readonly #socketPath: string;
  #connection: Promise<Connection> | undefined;
  #closed = false;

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  /** Begins a call. Rejects with `RuntimeAwayError` when the runtime can't be reached. */
  async request(headers: OutgoingHttpHeaders, options: { readonly endStream?: boolean } = {}): Promise<RuntimeCall> {
    const connection = await this.#connected();
    const stream = connection.session.request(headers, { endStream: options.endStream ?? false });
    return { stream, lost: () => connection.lost };
  }

  /** What a caller is told whose call was in flight when the connection broke. */
  lostMessage(): string {
    return `the connection to the container runtime on ${this.#socketPath} broke: did it restart?`;
  }

  /** Ends the session as soon as its calls are through. */
  close(): void {
    this.#closed = true;
    this.#connection?.then(
      ({ session }) => session.close(),
      () => undefined,
    );
  }

  /** Ends the session and every call in it. */
  destroy(): void {
    this.#closed = true;
    this.#connection?.then(
      ({ session }) => session.destroy(),
      () => undefined,
    );
  }

  async #connected(): Promise<Connection> {
    if (this.#closed) throw new RuntimeAwayError(this.#socketPath, new Error('Shoal is stopping'));
    for (;;) {
      const pending = this.#connection ?? this.#connect();
      this.#connection = pending;
      try {
        const connection = await pending;
        if (!connection.lost && !connection.session.closed && !connection.session.destroyed) return connection;
      } catch (error) {
        if (this.#connection === pending) this.#connection = undefined;
        throw new RuntimeAwayError(this.#socketPath, error);
      }
      if (this.#connection === pending) this.#connection = undefined;
    }
  }

  async #connect(): Promise<Connection> {
    const socket: Socket = connectSocket(this.#socketPath);
    await once(socket, 'connect');
    const session = connect('http://localhost', { ...sessionLimits, createConnection: () => socket });
    const connection: Connection = { session, lost: false };
    // The socket's close comes before the streams': a stream that ends can tell why.
    socket.prependListener('close', () => {
      connection.lost = true;
    });
    session.on('error', () => {
      connection.lost = true;
    });
    session.once('connect', () => session.setLocalWindowSize(sessionWindowBytes));
    session.unref();
    return connection;
  }
}
