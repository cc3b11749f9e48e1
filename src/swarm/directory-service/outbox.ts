import type { AgentMessage, ShardMessage } from '../messages.ts';
import { encodedSize, mostMessages } from './codec.ts';
import { largestFrame } from './framing.ts';

export interface OutboxOptions<Message> {
  /** Bytes of a frame that are taken by something else than messages. */
  readonly reserved?: number;
  /** Sends a frame with these messages. False: no more until `drained` is called. */
  readonly send: (messages: readonly Message[]) => boolean;
  /** Messages that may wait. */
  readonly most: number;
  /** Milliseconds that a frame may wait to be taken. */
  readonly patienceMs: number;
  /** The other side takes too little, and the box is closed. Called in a turn of its own, not from within `push`. */
  readonly stuck: () => void;
}

/**
 * Gathers what is said in one turn of the event loop into as few frames as the bounds allow, and waits while the other side
 * takes nothing.
 */
export class Outbox<Message extends AgentMessage | ShardMessage> {
  readonly #options: OutboxOptions<Message>;
  #queue: Message[] = [];
  #scheduled: NodeJS.Immediate | undefined;
  #patience: NodeJS.Timeout | undefined;
  #blocked = false;
  /** A frame is to be sent even if there is no message for it. */
  #due = false;
  #full = false;
  #closed = false;

  constructor(options: OutboxOptions<Message>) {
    this.#options = options;
  }

  get waiting(): number {
    return this.#queue.length;
  }

  push(message: Message): void {
    if (this.#closed || this.#full) return;
    if (this.#queue.length >= this.#options.most) this.#full = true;
    else this.#queue.push(message);
    this.#schedule();
  }

  /** Sends a frame at the end of this turn even if there is no message for it. */
  wake(): void {
    this.#due = true;
    this.#schedule();
  }

  /** The other side takes frames again. */
  drained(): void {
    this.#blocked = false;
    clearTimeout(this.#patience);
    if (this.#due || this.#queue.length > 0) this.#schedule();
  }

  close(): void {
    this.#closed = true;
    this.#queue = [];
    clearTimeout(this.#patience);
    if (this.#scheduled !== undefined) clearImmediate(this.#scheduled);
  }

  #schedule(): void {
    if (this.#closed) return;
    this.#scheduled ??= setImmediate(() => {
      this.#scheduled = undefined;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#full) {
      this.#giveUp();
      return;
    }
    let sent = 0;
    while (!this.#blocked && !this.#closed && (this.#due || sent < this.#queue.length)) {
      const end = this.#frameEnd(sent);
      this.#due = false;
      const messages = this.#queue.slice(sent, end);
      sent = end;
      this.#blocked = !this.#options.send(messages);
    }
    if (this.#closed) return;
    this.#queue.splice(0, sent);
    if (!this.#blocked || sent === 0) return;
    clearTimeout(this.#patience);
    this.#patience = setTimeout(() => this.#giveUp(), this.#options.patienceMs);
  }

  #giveUp(): void {
    this.close();
    this.#options.stuck();
  }

  /** Behind the last message that the frame from `start` on has room for. */
  #frameEnd(start: number): number {
    let bytes = this.#options.reserved ?? 0;
    let end = start;
    for (; end < this.#queue.length && end - start < mostMessages; end += 1) {
      const message = this.#queue[end];
      if (message === undefined) break;
      bytes += encodedSize(message);
      if (bytes > largestFrame) break;
    }
    return end;
  }
}
