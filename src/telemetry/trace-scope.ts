import { createHash, randomBytes } from 'node:crypto';
import { formatTraceparent, type TraceContext, type TraceHeaders } from './trace-context.ts';

/** Names of spans below that are told apart. A pull has 128 layers at most. */
const mostChildren = 512;

/**
 * A piece of work that is recorded, while it goes on: its place in the trace, and those of the spans below it. They are written
 * when all is over, so what is asked of others meanwhile has to know their ids.
 */
export class TraceScope {
  readonly traceId: string;
  /** The span of the work itself. */
  readonly spanId: string;
  /** The span that it is below of. */
  readonly parentId: string | undefined;
  readonly state: string | undefined;
  readonly #headers = new Map<string, { readonly id: string; readonly headers: TraceHeaders }>();

  /** A trace of its own without `parent`. */
  constructor(parent?: Omit<TraceContext, 'sampled'>) {
    this.traceId = parent?.traceId ?? randomBytes(16).toString('hex');
    this.spanId = randomBytes(8).toString('hex');
    this.parentId = parent?.parentId;
    this.state = parent?.state;
  }

  /** The id of a span below, by a name that it has here alone: 16 hex digits, the same each time. */
  child(name: string): string {
    return this.#of(name).id;
  }

  /** What goes along with a request that belongs to that span. */
  headersFor(name: string): TraceHeaders {
    return this.#of(name).headers;
  }

  #of(name: string): { readonly id: string; readonly headers: TraceHeaders } {
    const known = this.#headers.get(name);
    if (known !== undefined) return known;
    const full = this.#headers.size >= mostChildren;
    const id = full ? this.spanId : createHash('sha256').update(this.spanId).update(name).digest('hex').slice(0, 16);
    const traceparent = formatTraceparent({ traceId: this.traceId, parentId: id });
    const child = { id, headers: { traceparent, ...(this.state !== undefined && { tracestate: this.state }) } };
    if (!full) this.#headers.set(name, child);
    return child;
  }
}
