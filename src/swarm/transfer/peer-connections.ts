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
  /** Requests at once, to all peers. */
  readonly ceiling: WaitingLine;
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
  #users = 0;
  #closed: Error | undefined;

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
   * Has `request` done over a connection, when one is free for it. Rejects with the signal's reason, or when the peer turns
   * out to be unreachable meanwhile.
   */
  async run<T>(request: (connection: Connection) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const { ceiling } = this.#options;
    this.#users += 1;
    try {
      // First the peer, then the ceiling: those who wait for a slow peer must not keep others from fast ones.
      await this.#line.enter(signal);
      try {
        await ceiling.enter(signal);
        try {
          return await this.#exchange(request, signal);
        } finally {
          ceiling.leave();
        }
      } finally {
        this.#line.leave();
      }
    } finally {
      this.#users -= 1;
    }
  }

  /** Ends all connections, and with them what waits and what runs. */
  close(reason: Error): void {
    this.#closed = reason;
    this.#line.dismiss(reason);
    for (const connection of this.#open) connection.close(reason);
  }

  /** A connection that the peer closed while it was idle is replaced by a new one, once. */
  async #exchange<T>(request: (connection: Connection) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const idle = this.#takeIdle();
    if (idle !== undefined) {
      try {
        return await this.#over(idle, request);
      } catch (error) {
        if (!idle.unanswered || signal?.aborted) throw error;
      }
    }
    return this.#over(await this.#connect(signal), request);
  }

  async #over<T>(connection: Connection, request: (connection: Connection) => Promise<T>): Promise<T> {
    try {
      return await request(connection);
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

  async #connect(signal?: AbortSignal): Promise<Connection> {
    if (this.#closed !== undefined) throw this.#closed;
    const { peer, connect, event, connectTimeout } = this.#options;
    const connection = new Connection(peer, connect);
    this.#open.add(connection);
    connection.onGone(() => this.#gone(connection));
    try {
      await connection.opened(event, connectTimeout, signal);
    } catch (error) {
      if (this.#closed !== undefined) throw this.#closed;
      // Whoever waits for this peer need not find out one by one.
      if (error instanceof TransferError) this.#line.dismiss(error);
      throw error;
    }
    return connection;
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
