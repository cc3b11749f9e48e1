import { Backoff } from '../../backoff.ts';
import type { Clock } from '../../clock.ts';
import { type AgentMessage, changing, type Hello, type Peer, type ShardMessage, type Standing } from '../messages.ts';
import type { Liveness } from '../port/liveness.ts';
import type { TransferSecurity } from '../transfer/listen-address.ts';
import { ClientStream } from './client-stream.ts';
import type { Attendance, DirectoryHost } from './types.ts';

/** A link to one shard, whichever way it goes. */
export interface Link {
  /** What is said meanwhile reaches the shard. */
  readonly isUp: boolean;
  /** Only while it is up. */
  say(message: AgentMessage): void;
  /** The hello's values have changed. */
  update(): void;
  close(): void;
}

export interface LinkEvents {
  readonly up: () => void;
  readonly failed: (reason: string) => void;
  /** In a turn of its own, never from within `say`. */
  readonly receive: (message: ShardMessage) => void;
  /** The shard has changed its mind on whether it decides, at first that it does. In a turn of its own. */
  readonly stands: (standing: Standing) => void;
}

export interface RemoteLinkOptions extends LinkEvents {
  readonly shard: Peer;
  readonly security: TransferSecurity;
  readonly hello: () => Hello;
  readonly connectTimeoutMs: number;
  readonly liveness: Liveness;
  /** Milliseconds that a frame may wait for the shard to take it. */
  readonly patienceMs: number;
  readonly clock: Clock;
}

/** Membership's probes bring a shard back sooner; this is for one that answers them and fails nevertheless. Milliseconds. */
const firstRetryMs = 1_000;
const longestRetryMs = 60_000;

/** A link to another node's shard: a stream, and after a failure another one, until it is closed. */
export class RemoteLink implements Link {
  readonly #options: RemoteLinkOptions;
  readonly #backoff: Backoff;
  #stream: ClientStream;
  #retry: NodeJS.Timeout | undefined;
  #isUp = false;

  constructor(options: RemoteLinkOptions) {
    this.#options = options;
    this.#backoff = new Backoff({
      firstMs: firstRetryMs,
      longestMs: longestRetryMs,
      random: options.clock.random,
    });
    this.#stream = this.#open();
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  say(message: AgentMessage): void {
    this.#stream.say(message);
  }

  update(): void {
    this.#stream.update();
  }

  close(): void {
    this.#isUp = false;
    clearTimeout(this.#retry);
    this.#stream.close();
  }

  #open(): ClientStream {
    const { shard, security, hello, connectTimeoutMs, liveness, patienceMs, receive, stands, up, failed } =
      this.#options;
    return new ClientStream({
      shard,
      security,
      hello,
      connectTimeoutMs,
      liveness,
      patienceMs,
      receive,
      stands,
      opened: () => {
        this.#isUp = true;
        this.#backoff.succeeded();
        up();
      },
      failed: (reason) => {
        this.#isUp = false;
        this.#retry = setTimeout(() => {
          this.#stream = this.#open();
        }, this.#backoff.failed());
        failed(reason);
      },
    });
  }
}

/** A link to this node's own shard. */
export class LocalLink implements Link {
  readonly #hello: () => Hello;
  readonly #receive: (message: ShardMessage) => void;
  readonly #stands: (standing: Standing) => void;
  readonly #attendance: Attendance | undefined;
  #received: ShardMessage[] = [];
  #delivery: NodeJS.Immediate | undefined;
  #ended = false;

  constructor(host: DirectoryHost, hello: () => Hello, events: Pick<LinkEvents, 'receive' | 'stands'>) {
    this.#hello = hello;
    this.#receive = events.receive;
    this.#stands = events.stands;
    this.#attendance = host.attach(hello(), {
      receive: (message) => this.#keep(message),
      stands: (standing) => {
        setImmediate(() => {
          if (!this.#ended) this.#stands(standing);
        });
      },
      ended: () => {
        this.#ended = true;
      },
    });
  }

  get isUp(): boolean {
    return this.#attendance !== undefined && !this.#ended;
  }

  say(message: AgentMessage): void {
    this.#attendance?.say(message);
  }

  update(): void {
    this.#attendance?.update(changing(this.#hello()));
  }

  close(): void {
    if (this.#delivery !== undefined) clearImmediate(this.#delivery);
    if (!this.#ended) this.#attendance?.leave();
    this.#ended = true;
  }

  #keep(message: ShardMessage): void {
    this.#received.push(message);
    this.#delivery ??= setImmediate(() => {
      this.#delivery = undefined;
      const messages = this.#received;
      this.#received = [];
      for (const each of messages) if (!this.#ended) this.#receive(each);
    });
  }
}
