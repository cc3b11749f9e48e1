/** The pod that an event is about. */
export interface EventPod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/** Something that people shall see on a pod (`kubectl describe pod`). */
export interface PodEvent {
  readonly pod: EventPod;
  readonly type: 'Normal' | 'Warning';
  /** One word in camel case, for machines. */
  readonly reason: string;
  /** What it is about beside the pod: events that agree in pod, reason and subject are one that is counted. */
  readonly subject: string;
  readonly message: string;
}

/** An event with its repetitions. Times are milliseconds since the epoch. */
export interface CountedEvent extends PodEvent {
  readonly first: number;
  readonly last: number;
  readonly count: number;
}

/** An event that the API server has. */
export interface WrittenEvent {
  /** The object's name. */
  readonly name: string;
  readonly first: number;
  readonly last: number;
  readonly count: number;
}

/** Events that wait at most, and written ones that are remembered to be counted up. */
const mostWaiting = 256;
const mostWritten = 512;
/** Milliseconds that an event may wait: later than that nobody looks for it on the pod. */
const longestWait = 10 * 60_000;
/** Milliseconds after which a written one is not counted up: API servers delete events after an hour. */
const rememberedFor = 50 * 60_000;

/** Events that wait to be written, equal ones joined, and those that were. Pure; bounded, whatever the API server does. */
export class EventQueue {
  readonly #waiting = new Map<string, CountedEvent>();
  readonly #written = new Map<string, WrittenEvent>();
  #lost = 0;

  /** Events that were given up, repetitions included. */
  get lost(): number {
    return this.#lost;
  }

  get length(): number {
    return this.#waiting.size;
  }

  /** `now`: milliseconds since the epoch, here and below. The oldest has to go when there are too many. */
  add(event: PodEvent, now: number): void {
    this.#put({ ...event, first: now, last: now, count: 1 });
    const [oldest] = this.#waiting;
    if (this.#waiting.size <= mostWaiting || oldest === undefined) return;
    this.#waiting.delete(oldest[0]);
    this.lose(oldest[1]);
  }

  /** The event that has waited longest. Those that waited too long are given up. */
  take(now: number): CountedEvent | undefined {
    for (const [key, event] of this.#waiting) {
      this.#waiting.delete(key);
      if (now - event.last <= longestWait) return event;
      this.lose(event);
    }
    return undefined;
  }

  /** Takes back what could not be written, to be tried again behind the others. */
  putBack(event: CountedEvent): void {
    if (this.#waiting.size >= mostWaiting && !this.#waiting.has(keyOf(event))) this.lose(event);
    else this.#put(event);
  }

  /** The event is given up. */
  lose(event: CountedEvent): void {
    this.#lost += event.count;
  }

  /** What the API server has of it already. */
  writtenAs(event: PodEvent, now: number): WrittenEvent | undefined {
    const written = this.#written.get(keyOf(event));
    return written !== undefined && now - written.last <= rememberedFor ? written : undefined;
  }

  /** The API server has it. */
  wrote(event: PodEvent, written: WrittenEvent): void {
    const key = keyOf(event);
    this.#written.delete(key);
    this.#written.set(key, written);
    const [oldest] = this.#written.keys();
    if (this.#written.size > mostWritten && oldest !== undefined) this.#written.delete(oldest);
  }

  /** The API server has it no more. */
  forget(event: PodEvent): void {
    this.#written.delete(keyOf(event));
  }

  /** The words of the later one count. */
  #put(event: CountedEvent): void {
    const key = keyOf(event);
    const known = this.#waiting.get(key);
    if (known === undefined) {
      this.#waiting.set(key, event);
      return;
    }
    const later = event.last >= known.last ? event : known;
    const first = Math.min(event.first, known.first);
    this.#waiting.set(key, { ...later, first, count: event.count + known.count });
  }
}

function keyOf({ pod, reason, subject }: PodEvent): string {
  return JSON.stringify([pod.namespace, pod.uid, reason, subject]);
}
