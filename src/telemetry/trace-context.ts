/** Where a piece of work stands in a trace (W3C Trace Context, level 1). */
export interface TraceContext {
  /** 32 hex digits. */
  readonly traceId: string;
  /** 16 hex digits: the caller's span. */
  readonly parentId: string;
  /** Whether the caller records the trace. */
  readonly sampled: boolean;
  /** What tracing systems have to say of it to themselves; valid, and short. */
  readonly state?: string;
}

/** The headers that carry a trace to whoever is asked next. */
export interface TraceHeaders {
  readonly traceparent: string;
  readonly tracestate?: string;
}

/** A header as it comes: more than one value is none. */
type Header = string | readonly string[] | undefined;

const pattern = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
/** Characters: 55 in version 00; later ones may have more. */
const longestTraceparent = 256;

/**
 * Reads a `traceparent` header; undefined for one that is not valid by the specification (section 3.2): version ff, ids of
 * zeros alone, a version 00 with something behind it.
 */
export function parseTraceparent(header: string): TraceContext | undefined {
  if (header.length > longestTraceparent) return undefined;
  const [, version, traceId = '', parentId = '', flags = '', rest] = pattern.exec(header) ?? [];
  if (version === undefined || version === 'ff' || (version === '00' && rest !== undefined)) return undefined;
  if (/^0+$/.test(traceId) || /^0+$/.test(parentId)) return undefined;
  return { traceId, parentId, sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

/** The trace that a request is part of; undefined where its headers name none, or not validly. */
export function traceContextOf(traceparent: Header, tracestate: Header): TraceContext | undefined {
  const context = typeof traceparent === 'string' ? parseTraceparent(traceparent) : undefined;
  if (context === undefined) return undefined;
  // Several headers are one list (section 3.3.1).
  const state = tracestate === undefined ? undefined : parseTracestate([tracestate].flat().join(','));
  return { ...context, ...(state !== undefined && { state }) };
}

/** Version 00, recorded: of what is not, next to nothing is sent on. */
export function formatTraceparent({
  traceId,
  parentId,
  sampled = true,
}: Pick<TraceContext, 'traceId' | 'parentId'> & Partial<TraceContext>): string {
  return `00-${traceId}-${parentId}-${sampled ? '01' : '00'}`;
}

/** The headers that carry on a trace as it came. */
export function headersOf(context: TraceContext): TraceHeaders {
  return {
    traceparent: formatTraceparent(context),
    ...(context.state !== undefined && { tracestate: context.state }),
  };
}

const memberPattern =
  /^(?:[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]$/;
const mostMembers = 32;
/** What is looked at, and what is passed on: the specification asks for 512 at least (section 3.3.1.5). Characters. */
const longestRead = 8192;
const longestState = 512;
/** Members that have to go first where all are too long. */
const longMember = 128;

/**
 * Reads a `tracestate` header (section 3.3): the list as it is passed on, without spaces between its members, and shortened as
 * the specification says. Undefined when it is empty or not valid: then it has to be dropped as a whole.
 */
export function parseTracestate(header: string): string | undefined {
  if (header.length > longestRead) return undefined;
  const members = header.split(',').map(trimmed).filter(Boolean);
  if (members.length === 0 || members.length > mostMembers) return undefined;
  if (!members.every((member) => memberPattern.test(member))) return undefined;
  const keys = members.map((member) => member.slice(0, member.indexOf('=')));
  if (new Set(keys).size < keys.length) return undefined;
  return shortened(members);
}

function shortened(members: readonly string[]): string | undefined {
  let kept = members;
  while (kept.join(',').length > longestState) {
    const long = kept.findLastIndex((member) => member.length > longMember);
    kept = kept.toSpliced(long >= 0 ? long : kept.length - 1, 1);
  }
  return kept.length === 0 ? undefined : kept.join(',');
}

/** Without the optional white space around a list's members: spaces and tabs, and no other. */
function trimmed(text: string): string {
  return text.replace(/^[ \t]+|[ \t]+$/g, '');
}
