import net, { type Socket } from 'node:net';
import tls, { type SecureContext } from 'node:tls';
import { type Framing, framingByChunks, framingByClose, framingByLength } from './framing.ts';
import { HttpProtocolError, headEnd, parseResponseHead, type ResponseHead } from './response-head.ts';

/** Where a connection goes. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
  /** TLS when present; the host is checked against the certificate. */
  readonly secureContext?: SecureContext;
  /** Milliseconds for TCP and TLS. */
  readonly connectTimeoutMs: number;
  /** Milliseconds without a byte while an answer is awaited and not paused. */
  readonly transferTimeoutMs: number;
  /** Milliseconds that it is kept between two requests. */
  readonly idleMs: number;
}

/** Takes one answer in. What it throws ends the connection and comes back through `failed`. */
export interface ResponseSink {
  head(head: ResponseHead): void;
  /** The bytes are valid until it returns, or while the connection is paused. False pauses it. */
  body(chunk: Buffer): boolean;
  /** The answer is complete. */
  ended(): void;
  /**
   * It will not be. `stale`: not one byte of it came, on a connection that had served before. The server has closed it in
   * the meantime and never saw the request.
   */
  failed(error: Error, stale: boolean): void;
}

/** One `read` of the kernel: a large one costs fewer calls, and the buffer is used again for each. */
const readBytes = 256 * 1024;
/** The largest TLS record's content (RFC 8446 section 5.1). */
const recordBytes = 16 * 1024;
/** Informational answers (1xx) before the real one: some proxies send a few, a hostile server would never stop. */
const maxInformational = 16;

/**
 * One connection of an HTTP/1.1 client that only receives: GET requests, one at a time. The
 * socket reads into one buffer of ours (`onread`) instead of through a stream of new buffers, which is what makes
 * receiving cost a fifth (docs/architecture.md, libraries).
 */
export class Connection {
  readonly #socket: Socket;
  readonly #endpoint: Endpoint;
  readonly #connectEvent: 'connect' | 'secureConnect';
  #connected = false;
  #sink: ResponseSink | undefined;
  /** The head so far, while it is incomplete. */
  #head = Buffer.alloc(0);
  /** Of the body under way; undefined while the head is read. */
  #framing: Framing | undefined;
  /** Set while the sink has the connection paused: what was read and not looked at yet. */
  #held: Buffer[] | undefined;
  /** The buffer whose bytes the sink got last. */
  #lent: Uint8Array | undefined;
  /** What became of the connection while it was paused: looked at after what is held. */
  readonly #afterHeld: (() => void)[] = [];
  #keepAlive = true;
  #informational = 0;
  #headTimer: NodeJS.Timeout | undefined;
  #answers = 0;
  /** A byte of the current answer came. */
  #answered = false;
  #closed = false;
  /** Called whenever another request may be sent after one has ended. */
  onIdle: () => void = () => undefined;
  /** Called once, when the connection has ended. */
  onClose: () => void = () => undefined;

  constructor(endpoint: Endpoint) {
    this.#endpoint = endpoint;
    const { host, port, secureContext } = endpoint;
    const usual = Buffer.allocUnsafeSlow(readBytes);
    // While it is paused the sink still works on what lies in the one. A TLS socket brings what it has decrypted all the same.
    const spare = secureContext === undefined ? usual : Buffer.allocUnsafeSlow(recordBytes);
    const onread = {
      buffer: () => (this.#held !== undefined && this.#lent === usual ? spare : usual),
      callback: (length: number, buffer: Uint8Array): boolean => this.#received(buffer, length),
    };
    this.#socket =
      secureContext === undefined
        ? net.connect({ host, port, onread, noDelay: true })
        : // The types lack `onread`, which tls.connect hands on to its socket (Node's documentation of tls.connect).
          tls.connect({
            host,
            port,
            secureContext,
            servername: net.isIP(host) === 0 ? host : '',
            onread,
            ALPNProtocols: ['http/1.1'],
          } as tls.ConnectionOptions);
    const impatience = setTimeout(() => {
      this.#fail(timeout(`no connection within ${endpoint.connectTimeoutMs} ms`));
    }, endpoint.connectTimeoutMs);
    this.#connectEvent = secureContext === undefined ? 'connect' : 'secureConnect';
    this.#socket.once(this.#connectEvent, () => {
      this.#connected = true;
      clearTimeout(impatience);
    });
    this.#socket.on('timeout', () => this.#fail(timeout(`no byte within ${endpoint.transferTimeoutMs} ms`)));
    this.#socket.on('error', (error) => this.#fail(error));
    this.#socket.once('end', () => {
      this.#onceRead(() => {
        if (this.#framing?.endsWithConnection && this.#sink !== undefined) this.#end(this.#sink);
      });
    });
    this.#socket.once('close', () => {
      clearTimeout(impatience);
      this.#onceRead(() => this.#fail(new Error('the connection was closed before the answer was complete')));
      this.onClose();
    });
  }

  /** Whether another request may be sent. */
  get idle(): boolean {
    return this.#sink === undefined && this.#keepAlive && !this.#closed;
  }

  /** Sends a GET. `headers` are complete but for the end; they hold no line breaks. */
  get(path: string, headers: Readonly<Record<string, string>>, sink: ResponseSink): void {
    this.#sink = sink;
    this.#answered = false;
    this.#informational = 0;
    this.#socket.ref();
    this.#socket.setTimeout(this.#endpoint.transferTimeoutMs);
    // Of its own: a head that trickles in byte by byte would keep the socket's timeout from firing.
    const { transferTimeoutMs } = this.#endpoint;
    this.#headTimer = setTimeout(
      () => this.#fail(timeout(`no headers within ${transferTimeoutMs} ms`)),
      transferTimeoutMs,
    );
    const fields = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    const request = `GET ${path} HTTP/1.1\r\n${fields.join('')}\r\n`;
    const send = (): void => void this.#socket.write(request, 'latin1');
    // Bytes written before the handshake is through would hide its failure behind one of their own.
    if (this.#connected) send();
    else this.#socket.once(this.#connectEvent, send);
  }

  /** Goes on after `body` returned false. */
  resume(): void {
    const held = this.#held;
    if (this.#closed || held === undefined) return;
    this.#held = undefined;
    this.#socket.setTimeout(this.#endpoint.transferTimeoutMs);
    for (let bytes = held.shift(); bytes !== undefined; bytes = held.shift()) {
      if (this.#read(bytes)) continue;
      // Paused once more, or failed.
      if (this.#held !== undefined) this.#held = [...this.#held, ...held];
      return;
    }
    for (const action of this.#afterHeld.splice(0)) action();
    if (!this.#closed) this.#socket.resume();
  }

  /** Ends the connection; the answer under way fails with the error. */
  destroy(error: Error): void {
    this.#fail(error);
  }

  /** Takes what the socket has read into the buffer. Gives whether it is to go on. */
  #received(buffer: Uint8Array, length: number): boolean {
    const bytes = Buffer.from(buffer.buffer, buffer.byteOffset, length);
    if (this.#held !== undefined) {
      // Decrypted before it was paused: as much as one read of the socket brought.
      this.#held.push(Buffer.from(bytes));
      return false;
    }
    this.#lent = buffer;
    return this.#read(bytes);
  }

  /** Does it when everything that was read before has been taken. */
  #onceRead(action: () => void): void {
    if (this.#held === undefined) action();
    else this.#afterHeld.push(action);
  }

  /** Gives whether to go on reading. */
  #read(bytes: Buffer): boolean {
    try {
      if (bytes.length > 0) this.#answered = true;
      return this.#take(bytes);
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error(String(error)));
      return false;
    }
  }

  #take(bytes: Buffer): boolean {
    let rest = bytes;
    // Once more without bytes: a body whose last chunk paused the connection ends when that is resumed.
    do {
      const sink = this.#sink;
      if (sink === undefined) {
        if (rest.length > 0) throw new HttpProtocolError('bytes that belong to no request');
        return true;
      }
      if (this.#framing === undefined) {
        rest = this.#takeHead(sink, rest);
        continue;
      }
      const framed = this.#framing.next(rest);
      rest = framed.rest;
      const goOn = framed.data.length === 0 || sink.body(framed.data);
      if (this.#closed) return false;
      if (!goOn) return this.#pause(rest);
      if (framed.ended) this.#end(sink);
    } while (rest.length > 0);
    return true;
  }

  #pause(rest: Buffer): false {
    this.#held = [rest];
    // While nobody reads, no byte can come: that is not the server's fault.
    this.#socket.setTimeout(0);
    return false;
  }

  /** What follows the head; nothing while it is incomplete. */
  #takeHead(sink: ResponseSink, bytes: Buffer): Buffer {
    const all = this.#head.length === 0 ? bytes : Buffer.concat([this.#head, bytes]);
    const end = headEnd(all);
    if (end < 0) {
      // The read buffer is used again.
      this.#head = Buffer.from(all);
      return Buffer.alloc(0);
    }
    this.#head = Buffer.alloc(0);
    const head = parseResponseHead(all.subarray(0, end));
    const rest = all.subarray(end);
    if (head.status < 200) {
      this.#informational += 1;
      if (head.status === 101) throw new HttpProtocolError('101 to a request that asked for no other protocol');
      if (this.#informational > maxInformational) {
        throw new HttpProtocolError(`more than ${maxInformational} informational answers`);
      }
      return rest;
    }
    clearTimeout(this.#headTimer);
    this.#keepAlive = head.keepAlive && head.body !== 'until-close';
    this.#framing = framingOf(head);
    sink.head(head);
    if (head.body === 0 && !this.#closed) this.#end(sink);
    return rest;
  }

  #end(sink: ResponseSink): void {
    this.#framing = undefined;
    this.#sink = undefined;
    this.#answers += 1;
    this.#socket.setTimeout(this.#endpoint.idleMs);
    if (!this.#keepAlive) this.#close();
    else this.#socket.unref();
    sink.ended();
    if (this.idle) this.onIdle();
  }

  #fail(error: Error): void {
    const sink = this.#sink;
    this.#sink = undefined;
    this.#close();
    sink?.failed(error, !this.#answered && this.#answers > 0);
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#headTimer);
    this.#socket.destroy();
  }
}

function framingOf({ body }: ResponseHead): Framing {
  if (body === 'chunked') return framingByChunks();
  return body === 'until-close' ? framingByClose() : framingByLength(body);
}

function timeout(message: string): Error {
  return Object.assign(new Error(message), { code: 'ETIMEDOUT' });
}
