import type { RemoteSpans, RemoteWork } from '../../telemetry/remote-spans.ts';
import { parseTraceparent } from '../../telemetry/trace-context.ts';
import type { AgentMessage, Hello, Lease, ShardMessage } from '../messages.ts';
import type { Attendance, Attendee, DirectoryHost } from './types.ts';

/** Wants of an agent that are followed at once: as many as a shard keeps of one. */
const mostWants = 1_024;

/**
 * A shard that also records how long the wants of recorded pulls wait for their decision, and tells a mirror, which gets leases
 * unasked, whose trace one belongs to.
 */
export function tracedHost(host: DirectoryHost, spans: RemoteSpans): DirectoryHost {
  const traces = new Map<string, string>();
  return {
    get stat() {
      return host.stat;
    },
    rearranged: (shards) => host.rearranged(shards),
    close: () => host.close(),
    attach(hello, attendee) {
      const wants = new TracedWants(hello, spans, traces);
      const attendance = host.attach(hello, wants.hearing(attendee));
      return attendance && wants.telling(attendance);
    },
  };
}

/** The wants of one agent, from their coming to what became of them. */
class TracedWants {
  readonly #id: string;
  readonly #spans: RemoteSpans;
  /** Of everybody's open wants. */
  readonly #traces: Map<string, string>;
  readonly #open = new Map<string, RemoteWork>();

  constructor({ id }: Hello, spans: RemoteSpans, traces: Map<string, string>) {
    this.#id = id;
    this.#spans = spans;
    this.#traces = traces;
  }

  hearing(attendee: Attendee): Attendee {
    return {
      receive: (message) => {
        const trace = message.kind === 'lease' ? this.#traces.get(keyOf(message)) : undefined;
        this.#end(message, message.kind);
        attendee.receive(trace === undefined ? message : ({ ...message, trace } as Lease));
      },
      stands: (standing) => attendee.stands(standing),
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
      get standing() {
        return attendance.standing;
      },
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

  #begin(trace: string, { blob, piece }: Pick<ShardMessage, 'blob' | 'piece'>): void {
    const key = keyOf({ blob, piece });
    const context = parseTraceparent(trace);
    if (context === undefined || this.#open.has(key) || this.#open.size >= mostWants) return;
    const work = this.#spans.begin('directory', context, { 'oci.digest': blob, 'shoal.node': this.#id });
    if (work === undefined) return;
    this.#open.set(key, work);
    this.#traces.set(key, trace);
  }

  #end(about: Pick<ShardMessage, 'blob' | 'piece'>, outcome: string): void {
    if (this.#open.size === 0) return;
    const key = keyOf(about);
    this.#open.get(key)?.done(outcome);
    if (this.#open.delete(key)) this.#traces.delete(key);
  }

  #left(): void {
    for (const [key, work] of this.#open) {
      work.done('left');
      this.#traces.delete(key);
    }
    this.#open.clear();
  }
}

function keyOf({ blob, piece }: Pick<ShardMessage, 'blob' | 'piece'>): string {
  return `${blob} ${piece}`;
}
