import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { AuthorityMender } from './authority-mender.ts';

/**
 * A client's connection as the HTTP/2 server may see it: what comes in has its `:authority` mended, and the acknowledgement of the
 * SETTINGS that `openConnection` has sent is taken out. It never emits
 * 'error': a connection that breaks is one that ends, and the session may have let go of it by then.
 */
export class AuthorityStream extends Duplex {
  readonly #socket: Socket;
  readonly #mender = new AuthorityMender({ acknowledgementDue: true });

  constructor(socket: Socket) {
    super({ allowHalfOpen: true });
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => {
      let room = true;
      for (const part of this.#mender.push(chunk)) room = this.push(part);
      if (!room) socket.pause();
    });
    socket.on('end', () => this.push(null));
    socket.on('error', () => this.destroy());
    socket.on('close', () => this.destroy());
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#socket.write(chunk, () => done());
  }

  /** The HTTP/2 session hands over a frame in several buffers: one system call takes them all. */
  override _writev(chunks: Array<{ chunk: Buffer }>, done: (error?: Error | null) => void): void {
    this.#socket.cork();
    chunks.forEach(({ chunk }, index) => {
      if (index === chunks.length - 1) this.#socket.write(chunk, () => done());
      else this.#socket.write(chunk);
    });
    this.#socket.uncork();
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#socket.end(() => done());
  }

  override _destroy(_error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.destroy();
    done();
  }
}
