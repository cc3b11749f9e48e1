import type { Http2Session } from 'node:http2';
import type { Socket } from 'node:net';

/** Looks in the time after which a silent connection is given up at the latest. */
const looks = 10;
/** A connection without any traffic is asked (an HTTP/2 PING) after so many. */
const idleLooks = 5;
/** What was said without anything coming back is asked after at the next look, and given up after so many. */
const unansweredLooks = 4;

type Session = Pick<Http2Session, 'destroy' | 'destroyed' | 'ping'> & {
  once(event: 'close', listener: () => void): unknown;
};
type Connection = Pick<Socket, 'bytesRead' | 'bytesWritten'> & { destroy(): unknown };

interface Watched {
  readonly session: Session;
  readonly socket: Connection;
  /** Of the socket, when something last came. */
  read: number;
  written: number;
  /** Looks in a row at which nothing had come, and at which nothing had come back. */
  quiet: number;
  unanswered: number;
}

/**
 * Ends the HTTP/2 connections whose other end is dead, stopped or out of reach. Pulls wait for what was said to it, so a connection
 * in use is found out sooner than an idle one: a shard may have thousands of those, and each question costs. One timer for all of
 * them. A stall of this process counts as one look at most.
 */
export class Liveness {
  readonly #watched = new Set<Watched>();
  readonly #timer: NodeJS.Timeout;

  /** `silenceMs`: after which an idle connection is given up; in use it takes about half of that. */
  constructor(silenceMs: number) {
    this.#timer = setInterval(() => this.#look(), silenceMs / looks);
    this.#timer.unref();
  }

  get size(): number {
    return this.#watched.size;
  }

  /** Watches a session until it is closed. A silent one is destroyed. */
  watch(session: Session, socket: Connection): void {
    const { bytesRead: read, bytesWritten: written } = socket;
    const watched = { session, socket, read, written, quiet: 0, unanswered: 0 };
    this.#watched.add(watched);
    session.once('close', () => this.#watched.delete(watched));
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    for (const watched of this.#watched) {
      const { session, socket } = watched;
      const { bytesRead, bytesWritten } = socket;
      if (bytesRead !== watched.read) {
        Object.assign(watched, { read: bytesRead, written: bytesWritten, quiet: 0, unanswered: 0 });
        continue;
      }
      watched.quiet += 1;
      if (bytesWritten !== watched.written) watched.unanswered += 1;
      if (watched.unanswered >= unansweredLooks || watched.quiet >= looks) {
        session.destroy(new Error('it does not answer any more'));
        // A session that was closed in peace waits for the other end's word, too.
        socket.destroy();
      } else if ((watched.unanswered === 1 || watched.quiet === idleLooks) && !session.destroyed) {
        session.ping(() => undefined);
      }
    }
  }
}
