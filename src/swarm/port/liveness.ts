import type { Http2Session } from 'node:http2';
import type { Socket } from 'node:net';

/** Looks in the time after which a silent connection is given up; after half of them it is asked (an HTTP/2 PING). */
const looks = 4;

interface Watched {
  readonly session: Http2Session;
  readonly socket: Socket;
  bytes: number;
  /** Looks in a row at which nothing had come. */
  quiet: number;
}

/**
 * Ends the HTTP/2 connections whose other end is dead, stopped or out of reach: nothing has come from it for a time although
 * it was asked. One timer for all of them: a shard may have thousands. A stall of this process counts as one look at most.
 */
export class Liveness {
  readonly #watched = new Set<Watched>();
  readonly #timer: NodeJS.Timeout;

  constructor(silenceMs: number) {
    this.#timer = setInterval(() => this.#look(), silenceMs / looks);
    this.#timer.unref();
  }

  get size(): number {
    return this.#watched.size;
  }

  /** Watches a session until it is closed. A silent one is destroyed. */
  watch(session: Http2Session, socket: Socket): void {
    const watched = { session, socket, bytes: socket.bytesRead, quiet: 0 };
    this.#watched.add(watched);
    session.once('close', () => this.#watched.delete(watched));
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    for (const watched of this.#watched) {
      const { session, socket } = watched;
      const { bytesRead } = socket;
      watched.quiet = bytesRead === watched.bytes ? watched.quiet + 1 : 0;
      watched.bytes = bytesRead;
      if (watched.quiet >= looks) {
        session.destroy(new Error('it does not answer any more'));
        // A session that was closed in peace waits for the other end's word, too.
        socket.destroy();
      } else if (watched.quiet === looks / 2 && !session.destroyed) session.ping(() => undefined);
    }
  }
}
