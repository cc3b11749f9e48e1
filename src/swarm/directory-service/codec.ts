import path from 'node:path';
import protobuf from 'protobufjs';
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

const root = protobuf.loadSync(path.join(packageRoot, 'proto/swarm.proto'));
/** Taken from the library as they are: gRPC's loader makes an object of each message twice, and that was half a frame's cost. */
const agentFrames = root.lookupType('shoal.swarm.v1.AgentFrame');
const shardFrames = root.lookupType('shoal.swarm.v1.ShardFrame');

/** By their numbers in the .proto. */
const failures: readonly Failure[] = ['absent', 'unreachable', 'corrupt'];
const roles: readonly Role[] = ['agent', 'mirror'];
/** 0: nothing is said of it. */
const standings: readonly (Standing | undefined)[] = [undefined, 'decides', 'resigned'];

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
  return encode(agentFrames, {
    ...(hello !== undefined && { hello: { ...hello, role: roles.indexOf(hello.role) } }),
    messages: messages.map((message) => ({ [message.kind]: fieldsOf(message) })),
  });
}

function fieldsOf(message: AgentMessage | ShardMessage): object {
  if (message.kind === 'failed') return { ...message, failure: failures.indexOf(message.failure) };
  if ('trace' in message && message.trace !== undefined) return { ...message, trace: asTraceBytes(message.trace) };
  return message;
}

/** Throws a `FrameError` that says what is wrong with it. */
export function decodeAgentFrame(bytes: Buffer): AgentFrame {
  const frame = decode(agentFrames, bytes);
  const hello = frame.hello as Fields | null;
  return { ...(hello !== null && { hello: helloOf(hello) }), messages: messagesOf(frame, agentReaders) };
}

export function encodeShardFrame({ standing, messages }: ShardFrame): Buffer {
  return encode(shardFrames, {
    ...(standing !== undefined && { standing: standings.indexOf(standing) }),
    messages: messages.map((message) => ({ [message.kind]: fieldsOf(message) })),
  });
}

/** Throws a `FrameError` that says what is wrong with it. */
export function decodeShardFrame(bytes: Buffer): ShardFrame {
  const frame = decode(shardFrames, bytes);
  return {
    ...(frame.standing !== 0 && { standing: named(standings, frame.standing, 'standing') }),
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

/** What goes in has the fields' types: the messages', without numbers that the bounds forbid. */
function encode(type: protobuf.Type, frame: object): Buffer {
  // On Node it writes into Buffers, which its types don't say.
  return type.encode(frame as protobuf.Message).finish() as Buffer;
}

function decode(type: protobuf.Type, bytes: Buffer): Fields {
  try {
    return type.decode(bytes) as unknown as Fields;
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

/** Enums come as numbers, also those that are none of ours. */
function named<T>(names: readonly (T | undefined)[], value: unknown, field: string): T {
  const found = typeof value === 'number' ? names[value] : undefined;
  if (found === undefined) throw new FrameError(`${field} has a value that is not of the protocol`);
  return found;
}
