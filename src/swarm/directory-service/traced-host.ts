import type { RemoteSpans, RemoteWork } from '../../telemetry/remote-spans.ts';
import { parseTraceparent } from '../../telemetry/trace-context.ts';
import type { AgentMessage, Hello, ShardMessage } from '../messages.ts';
import type { Attendance, Attendee, DirectoryHost } from './types.ts';

/** Wants of an agent that are followed at once: as many as a shard keeps of one. */
const mostWants = 1_024;

/** A shard that also records how long the wants of recorded pulls wait for their decision. */
export function tracedHost(host: DirectoryHost, spans: RemoteSpans): DirectoryHost {
  return {
    get stat() {
      return host.stat;
    },
    close: () => host.close(),
    attach(hello, attendee) {
      const wants = new TracedWants(hello, spans);
      const attendance = host.attach(hello, wants.hearing(attendee));
      return attendance && wants.telling(attendance);
    },
  };
}

/** The wants of one agent, from their coming to what became of them. */
class TracedWants {
  readonly #id: string;
  readonly #spans: RemoteSpans;
  readonly #open = new Map<string, RemoteWork>();

  constructor({ id }: Hello, spans: RemoteSpans) {
    this.#id = id;
    this.#spans = spans;
  }

  hearing(attendee: Attendee): Attendee {
    return {
      receive: (message) => {
        this.#end(message, message.kind);
        attendee.receive(message);
      },
      ended: (reason) => {
        this.#left();
        attendee.ended(reason);
      },
    };
  }

  telling(attendance: Attendance): Attendance {
    return {
      // Before the shard hears of it: its decision may come from within.
      say: (message) => {
        this.#note(message);
        attendance.say(message);
      },
      update: (hello) => attendance.update(hello),
      leave: () => {
        this.#left();
        attendance.leave();
      },
    };
  }

  #note(message: AgentMessage): void {
    if (message.kind === 'want' && message.trace !== undefined) this.#begin(message.trace, message);
    else if (message.kind === 'have' || message.kind === 'cancel') this.#end(message, 'withdrawn');
  }

  #begin(trace: string, { blob, piece }: { readonly blob: string; readonly piece: number }): void {
    const key = `${blob} ${piece}`;
    const context = parseTraceparent(trace);
    if (context === undefined || this.#open.has(key) || this.#open.size >= mostWants) return;
    const work = this.#spans.begin('directory', context, { 'oci.digest': blob, 'shoal.node': this.#id });
    if (work) this.#open.set(key, work);
  }

  #end({ blob, piece }: Pick<ShardMessage, 'blob' | 'piece'>, outcome: string): void {
    if (this.#open.size === 0) return;
    const key = `${blob} ${piece}`;
    this.#open.get(key)?.done(outcome);
    this.#open.delete(key);
  }

  #left(): void {
    for (const work of this.#open.values()) work.done('left');
    this.#open.clear();
  }
}
