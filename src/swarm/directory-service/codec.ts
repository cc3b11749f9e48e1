import path from 'node:path';
import { loadSync, type MethodDefinition, type ServiceDefinition } from '@grpc/proto-loader';
import { packageRoot } from '../../paths.ts';
import { formatTraceparent, parseTraceparent } from '../../telemetry/trace-context.ts';
import { peersPerTake } from '../limits.ts';
import type { AgentMessage, Failure, Hello, Peer, Role, ShardMessage, Standing } from '../messages.ts';
import {
  asAddress,
  asChecksum,
  asDigest,
  asId,
  asLeases,
  asPace,
  asPiece,
  asSlots,
  asSource,
  asZone,
  longestAddress,
} from './bounds.ts';
import { FrameError } from './framing.ts';

/** The frames of proto/swarm.proto, to and from the messages of src/swarm/messages.ts. */

export interface AgentFrame {
  readonly hello?: Hello;
  readonly messages: readonly AgentMessage[];
}

export interface ShardFrame {
  readonly standing?: Standing;
  readonly messages: readonly ShardMessage[];
}

/** 16 of the trace's id, 8 of the span's. */
const traceBytes = 24;
/** Messages of a frame (proto/swarm.proto). */
export const mostMessages = 512;

type Fields = Readonly<Record<string, unknown>>;
type Kind<Message extends { readonly kind: string }> = Message['kind'];
type Readers<Message extends { readonly kind: string }> = {
  readonly [K in Kind<Message>]: (fields: Fields) => Extract<Message, { readonly kind: K }>;
};

const attend = (() => {
  const definitions = loadSync(path.join(packageRoot, 'proto/swarm.proto'), {
    defaults: true,
    oneofs: true,
    enums: String,
    longs: Number,
  });
  const service = definitions['shoal.swarm.v1.Directory'] as ServiceDefinition;
  return service.Attend as MethodDefinition<object, object>;
})();

const failures: Readonly<Record<string, Failure>> = {
  FAILURE_ABSENT: 'absent',
  FAILURE_UNREACHABLE: 'unreachable',
  FAILURE_CORRUPT: 'corrupt',
};
const roles: Readonly<Record<string, Role>> = { ROLE_AGENT: 'agent', ROLE_MIRROR: 'mirror' };

const standings: Readonly<Record<string, Standing>> = { STANDING_DECIDES: 'decides', STANDING_RESIGNED: 'resigned' };

const agentReaders: Readers<AgentMessage> = {
  want: (fields) => ({
    kind: 'want',
    ...keyOf(fields),
    lease: fields.lease === true,
    urgent: fields.urgent === true,
    source: asSource(fields.source),
    ...traceOf(fields.trace),
  }),
  have: (fields) => ({
    kind: 'have',
    ...keyOf(fields),
    crc32c: asChecksum(fields.crc32c),
    verified: fields.verified === true,
  }),
  gone: (fields) => ({ kind: 'gone', ...keyOf(fields) }),
  failed: (fields) => ({
    kind: 'failed',
    ...keyOf(fields),
    peer: asId(fields.peer, 'peer'),
    failure: named(failures, fields.failure, 'failure'),
  }),
  progress: (fields) => ({ kind: 'progress', ...keyOf(fields) }),
  cancel: (fields) => ({ kind: 'cancel', ...keyOf(fields) }),
  spoiled: (fields) => ({ kind: 'spoiled', blob: asDigest(fields.blob) }),
};

const shardReaders: Readers<ShardMessage> = {
  take: (fields) => ({
    kind: 'take',
    ...keyOf(fields),
    crc32c: asChecksum(fields.crc32c),
    peers: peersOf(fields.peers),
  }),
  lease: (fields) => ({ kind: 'lease', ...keyOf(fields), source: asSource(fields.source), ...traceOf(fields.trace) }),
  alone: (fields) => ({ kind: 'alone', ...keyOf(fields) }),
};

export function encodeAgentFrame({ hello, messages }: AgentFrame): Buffer {
  return attend.requestSerialize({
    ...(hello !== undefined && { hello: { ...hello, role: nameOf(roles, hello.role) } }),
    messages: messages.map((message) => ({ [message.kind]: fieldsOf(message) })),
  });
}

function fieldsOf(message: AgentMessage | ShardMessage): object {
  if (message.kind === 'failed') return { ...message, failure: nameOf(failures, message.failure) };
  if ('trace' in message && message.trace !== undefined) return { ...message, trace: asTraceBytes(message.trace) };
  return message;
}

/** Throws a `FrameError` that says what is wrong with it. */
export function decodeAgentFrame(bytes: Buffer): AgentFrame {
  const frame = decode(attend.requestDeserialize, bytes);
  const hello = frame.hello as Fields | null;
  return { ...(hello !== null && { hello: helloOf(hello) }), messages: messagesOf(frame, agentReaders) };
}

export function encodeShardFrame({ standing, messages }: ShardFrame): Buffer {
  return attend.responseSerialize({
    ...(standing !== undefined && { standing: nameOf(standings, standing) }),
    messages: messages.map((message) => ({ [message.kind]: fieldsOf(message) })),
  });
}

/** Throws a `FrameError` that says what is wrong with it. */
export function decodeShardFrame(bytes: Buffer): ShardFrame {
  const frame = decode(attend.responseDeserialize, bytes);
  const unsaid = frame.standing === 'STANDING_UNSAID';
  return {
    ...(!unsaid && { standing: named(standings, frame.standing, 'standing') }),
    messages: messagesOf(frame, shardReaders),
  };
}

/** Bytes that a message takes in a frame, at most. All its text is ASCII. */
export function encodedSize(message: AgentMessage | ShardMessage): number {
  // Tags, lengths, numbers: want has the most, 28.
  let size = 32 + message.blob.length;
  if (message.kind === 'want' || message.kind === 'lease') size += message.source.length;
  if ('trace' in message && message.trace !== undefined) size += 2 + traceBytes;
  if (message.kind === 'failed') size += message.peer.length;
  else if (message.kind === 'take')
    for (const { id, address } of message.peers) size += 10 + id.length + address.length;
  return size;
}

/** Bytes that a hello takes in a frame, at most. */
export const largestHello = 64 + 255 + longestAddress + 63;

function decode(deserialize: (bytes: Buffer) => object, bytes: Buffer): Fields {
  try {
    return deserialize(bytes) as Fields;
  } catch (error) {
    throw new FrameError('a frame that is not of the protocol', { cause: error });
  }
}

function messagesOf<Message extends { readonly kind: string }>(frame: Fields, readers: Readers<Message>): Message[] {
  const wrapped = frame.messages as readonly Fields[];
  if (wrapped.length > mostMessages) throw new FrameError(`more than ${mostMessages} messages in a frame`);
  return wrapped.map((fields) => {
    const kind = fields.message;
    if (typeof kind !== 'string') throw new FrameError('a message of no known kind');
    return readers[kind as Kind<Message>](fields[kind] as Fields);
  });
}

function helloOf(fields: Fields): Hello {
  return {
    id: asId(fields.id, 'id'),
    address: asAddress(fields.address),
    zone: asZone(fields.zone),
    role: named(roles, fields.role, 'role'),
    slots: asSlots(fields.slots),
    leases: asLeases(fields.leases),
    pace: asPace(fields.pace),
  };
}

function peersOf(value: unknown): readonly Peer[] {
  const peers = value as readonly Fields[];
  if (peers.length < 1 || peers.length > peersPerTake) throw new FrameError(`peers are not 1 to ${peersPerTake}`);
  return peers.map(({ id, address }) => ({ id: asId(id, "a peer's id"), address: asAddress(address) }));
}

/** What is no trace is none: for the sake of a trace no want is turned away. */
function traceOf(value: unknown): { readonly trace?: string } {
  if (!(value instanceof Uint8Array) || value.length !== traceBytes) return {};
  const hex = Buffer.from(value).toString('hex');
  const trace = formatTraceparent({ traceId: hex.slice(0, 32), parentId: hex.slice(32) });
  return parseTraceparent(trace) === undefined ? {} : { trace };
}

/** Ids of trace and span, without the rest of a `traceparent`. */
function asTraceBytes(traceparent: string): Buffer {
  const { traceId = '', parentId = '' } = parseTraceparent(traceparent) ?? {};
  return Buffer.from(traceId + parentId, 'hex');
}

function keyOf({ blob, piece }: Fields): { readonly blob: string; readonly piece: number } {
  return { blob: asDigest(blob), piece: asPiece(piece) };
}

/** An unknown number of an enum comes as that number. */
function named<T>(names: Readonly<Record<string, T>>, value: unknown, field: string): T {
  const found = typeof value === 'string' ? names[value] : undefined;
  if (found === undefined) throw new FrameError(`${field} has a value that is not of the protocol`);
  return found;
}

function nameOf<T extends string>(names: Readonly<Record<string, T>>, value: T): string {
  return Object.keys(names).find((name) => names[name] === value) ?? value;
}
