import type { Socket } from 'node:net';
import { Connection, type ReadInto } from './connection.ts';
import { TransferError } from './types.ts';
import { WaitingLine } from './waiting-line.ts';

export interface PeerConnectionsOptions {
  /** For messages. */
  readonly peer: string;
  readonly connect: (onread: ReadInto) => Socket;
  readonly event: 'connect' | 'secureConnect';
  /** Connections at once. */
  readonly most: number;
  /** Seconds. */
  readonly connectTimeout: number;
  /** Seconds after which an idle connection is closed. */
  readonly idleTimeout: number;
  /** Called when the last connection is gone. */
  readonly onEmpty: () => void;
}

interface Idle {
  readonly connection: Connection;
  readonly timer: NodeJS.Timeout;
}

/** The connections to one peer: few, kept alive, one request each. */
export class PeerConnections {
  readonly #options: PeerConnectionsOptions;
  readonly #line: WaitingLine;
  readonly #open = new Set<Connection>();
  readonly #idle: Idle[] = [];
  /** Aborted when the peer could not be reached: whoever waits for a connection to it need not find out one by one. */
  #unreachable = new AbortController();
  #users = 0;

  constructor(options: PeerConnectionsOptions) {
    this.#options = options;
    this.#line = new WaitingLine(options.most);
  }

  /** Nobody uses or waits for it and no connection is left. */
  get unused(): boolean {
    return this.#users === 0 && this.#open.size === 0;
  }

  get size(): number {
    return this.#open.size;
  }

  /**
   * Runs `work` when one of the connections is free for it; `work` uses `use` at most once. Rejects with the signal's reason
   * or when the peer turns out to be unreachable meanwhile.
   */
  async take<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    this.#users += 1;
    try {
      await this.#line.enter(AbortSignal.any([signal, this.#unreachable.signal]));
      try {
        return await work();
      } finally {
        this.#line.leave();
      }
    } finally {
      this.#users -= 1;
    }
  }

  /** Has `request` done over a connection. One that the peer closed while it was idle is replaced by a new one, once. */
  async use(signal: AbortSignal, request: (connection: Connection) => Promise<void>): Promise<void> {
    const idle = this.#takeIdle();
    if (idle !== undefined) {
      try {
        return await this.#over(idle, request);
      } catch (error) {
        if (!idle.unanswered || signal.aborted) throw error;
      }
    }
    return this.#over(await this.#connect(signal), request);
  }

  close(): void {
    for (const connection of this.#open) connection.close();
  }

  async #over(connection: Connection, request: (connection: Connection) => Promise<void>): Promise<void> {
    try {
      await request(connection);
    } finally {
      this.#keep(connection);
    }
  }

  #takeIdle(): Connection | undefined {
    // The one that was used last: the others may reach their idle timeout.
    for (let idle = this.#idle.pop(); idle !== undefined; idle = this.#idle.pop()) {
      clearTimeout(idle.timer);
      if (idle.connection.usable) return idle.connection;
    }
    return undefined;
  }

  #keep(connection: Connection): void {
    if (!connection.usable) return;
    const timer = setTimeout(() => connection.close(), this.#options.idleTimeout * 1000);
    // An idle connection is no reason for a process to stay.
    timer.unref();
    this.#idle.push({ connection, timer });
  }

  async #connect(signal: AbortSignal): Promise<Connection> {
    const { peer, connect, event, connectTimeout } = this.#options;
    const connection = new Connection(peer, connect);
    this.#open.add(connection);
    connection.onGone(() => this.#gone(connection));
    try {
      await connection.opened(event, connectTimeout, signal);
    } catch (error) {
      if (error instanceof TransferError) this.#dismissWaiting(error);
      throw error;
    }
    return connection;
  }

  #dismissWaiting(error: TransferError): void {
    const waiting = this.#unreachable;
    this.#unreachable = new AbortController();
    waiting.abort(error);
  }

  #gone(connection: Connection): void {
    this.#open.delete(connection);
    if (this.#open.size === 0) this.#options.onEmpty();
    const at = this.#idle.findIndex((idle) => idle.connection === connection);
    if (at === -1) return;
    clearTimeout(this.#idle[at]?.timer);
    this.#idle.splice(at, 1);
  }
}
