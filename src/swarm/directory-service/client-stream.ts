import type { ClientHttp2Stream } from 'node:http2';
import { TokenBucket } from '../../token-bucket.ts';
import { defaultLimits } from '../limits.ts';
import type { AgentMessage, Hello, Peer, ShardMessage, Standing } from '../messages.ts';
import type { Liveness } from '../port/liveness.ts';
import { type OpenSession, openSession } from '../port/session.ts';
import type { TransferSecurity } from '../transfer/listen-address.ts';
import { decodeShardFrame, encodeAgentFrame, largestHello } from './codec.ts';
import { attendPath, describeStatus, FrameError, grpcContentType, Reassembly, withPrefix } from './framing.ts';
import { Outbox } from './outbox.ts';

export interface ClientStreamOptions {
  readonly shard: Peer;
  readonly security: TransferSecurity;
  readonly hello: () => Hello;
  /** Milliseconds until the shard must have taken the stream. */
  readonly connectTimeoutMs: number;
  readonly liveness: Liveness;
  /** Milliseconds that a frame may wait for the shard to take it. */
  readonly patienceMs: number;
  /** The shard has taken the stream. */
  readonly opened: () => void;
  readonly receive: (message: ShardMessage) => void;
  /** The shard says whether it decides. */
  readonly stands: (standing: Standing) => void;
  /** The stream is over, or could not be opened: why. Called once; not after `close`. */
  readonly failed: (reason: string) => void;
}

/**
 * Messages that may wait for a shard. After a change of the directory they are what the agent holds of its new share and no
 * longer tells it of the former one, each 16,384 pieces at most (src/swarm/limits.ts); as much again for everything else.
 */
const mostWaiting = 4 * defaultLimits.holdingsPerAgent;
/**
 * How often a shard may change whether it decides: its share is placed anew each time. It leaves a minute between two changes by itself
 * (host.ts), and says the first at once.
 */
const standings = { rate: 0.05, burst: 4 };
/** Milliseconds that the end of the stream has to reach the shard. */
const farewellMs = 1_000;

/** One try at a stream to a shard. */
export class ClientStream {
  readonly #options: ClientStreamOptions;
  readonly #outbox: Outbox<AgentMessage>;
  readonly #reassembly = new Reassembly();
  readonly #opening = new AbortController();
  readonly #standings = new TokenBucket({ ...standings, now: () => performance.now() });
  readonly #timer: NodeJS.Timeout;
  #opened: OpenSession | undefined;
  #stream: ClientHttp2Stream | undefined;
  #helloDue = true;
  #open = false;
  #ended = false;

  constructor(options: ClientStreamOptions) {
    const { connectTimeoutMs } = options;
    this.#options = options;
    this.#outbox = new Outbox({
      reserved: largestHello,
      send: (messages) => this.#send(messages),
      most: mostWaiting,
      patienceMs: options.patienceMs,
      stuck: () => this.#fail('it does not take what it is told'),
    });
    this.#timer = setTimeout(
      () => this.#fail(`it has not taken the stream within ${connectTimeoutMs} ms`),
      connectTimeoutMs,
    );
    openSession(options.shard, options.security, this.#opening.signal)
      // A shard that stops in the same breath takes no request.
      .then((opened) => this.#attend(opened))
      .catch((error: Error) => this.#fail(error.message));
  }

  /** Only once it is open. */
  say(message: AgentMessage): void {
    this.#outbox.push(message);
  }

  /** The hello's values have changed. */
  update(): void {
    this.#helloDue = true;
    if (this.#stream !== undefined) this.#outbox.wake();
  }

  /** Ends the stream so that the shard forgets the agent at once. */
  close(): void {
    if (this.#ended) return;
    this.#end('the agent stops');
    if (this.#opened === undefined) return;
    const { session, socket } = this.#opened;
    this.#stream?.end();
    session.close();
    const cut = setTimeout(() => socket.destroy(), farewellMs);
    session.once('close', () => clearTimeout(cut));
  }

  #attend(opened: OpenSession): void {
    const { session, socket } = opened;
    if (this.#ended) {
      session.destroy();
      return;
    }
    this.#opened = opened;
    this.#options.liveness.watch(session, socket);
    session.on('error', (error) => this.#fail(error.message));
    session.on('close', () => this.#fail('the connection is closed'));
    const stream = session.request({
      ':method': 'POST',
      ':path': attendPath,
      'content-type': grpcContentType,
      te: 'trailers',
    });
    this.#stream = stream;
    stream.on('response', (headers) => this.#responded(headers));
    stream.on('data', (chunk: Buffer) => this.#received(chunk));
    stream.on('trailers', (trailers) => this.#fail(describeStatus(trailers) ?? 'it ended the stream without a status'));
    stream.on('drain', () => this.#outbox.drained());
    stream.on('error', (error) => this.#fail(error.message));
    stream.on('close', () => this.#fail('it ended the stream'));
    this.#outbox.wake();
  }

  #send(messages: readonly AgentMessage[]): boolean {
    const { hello } = this.#options;
    const frame = encodeAgentFrame({ ...(this.#helloDue && { hello: hello() }), messages });
    this.#helloDue = false;
    return this.#stream?.write(withPrefix(frame)) ?? false;
  }

  #responded(headers: Readonly<Record<string, unknown>>): void {
    const status = describeStatus(headers);
    if (headers[':status'] !== 200 || status !== undefined) {
      this.#fail(status ?? `it answers with HTTP status ${String(headers[':status'])}`);
      return;
    }
    clearTimeout(this.#timer);
    this.#open = true;
    this.#options.opened();
  }

  #received(chunk: Buffer): void {
    try {
      for (const payload of this.#reassembly.push(chunk)) {
        const { standing, messages } = decodeShardFrame(payload);
        if (!this.#open) throw new FrameError('it decides before it has taken the stream');
        if (standing !== undefined) this.#stands(standing);
        for (const message of messages) {
          if (this.#ended) return;
          this.#options.receive(message);
        }
      }
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      this.#fail(`it breaks the protocol: ${error.message}`);
    }
  }

  #stands(standing: Standing): void {
    if (this.#standings.take(1) > 0) throw new FrameError('it says too often whether it decides');
    this.#options.stands(standing);
  }

  #fail(reason: string): void {
    if (this.#ended) return;
    this.#end(reason);
    this.#opened?.session.destroy();
    this.#options.failed(reason);
  }

  #end(reason: string): void {
    this.#ended = true;
    this.#opening.abort(new Error(reason));
    clearTimeout(this.#timer);
    this.#outbox.close();
  }
}
