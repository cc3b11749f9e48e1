import { parseAddress } from '../../config/address.ts';
import { largestPieceIndex } from '../limits.ts';
import type { AgentMessage } from '../messages.ts';
import { FrameError } from './framing.ts';

/** The bounds that proto/swarm.proto states, on what has come over the wire. Each throws a `FrameError` that names the field. */

const digestPattern = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;
/** Visible ASCII: what ids and repositories are made of, and no surprise in a log. */
const visible = /^[\x21-\x7e]+$/;
/** The syntax of Kubernetes' label values. */
const zonePattern = /^(?:[a-zA-Z0-9](?:[-a-zA-Z0-9_.]{0,61}[a-zA-Z0-9])?)?$/;

export const longestId = 255;
export const longestAddress = 261;
export const longestSource = 512;
export const mostSlots = 4096;
export const mostLeases = 4096;
export const mostPace = 63;

export function asDigest(value: unknown): string {
  if (typeof value === 'string' && digestPattern.test(value)) return value;
  throw new FrameError('blob is not the digest of a blob (sha256 or sha512)');
}

export function asPiece(value: unknown): number {
  if (isCount(value) && value <= largestPieceIndex) return value;
  throw new FrameError(`piece is not an index of at most ${largestPieceIndex}`);
}

export function asChecksum(value: unknown): number {
  if (isCount(value) && value < 2 ** 32) return value;
  throw new FrameError('crc32c is not 32 bits');
}

export function asId(value: unknown, field: string): string {
  if (typeof value === 'string' && value.length <= longestId && visible.test(value)) return value;
  throw new FrameError(`${field} is not 1 to ${longestId} visible ASCII characters`);
}

export function asAddress(value: unknown): string {
  if (typeof value === 'string' && value.length <= longestAddress && parseAddress(value) !== undefined) return value;
  throw new FrameError('address is not host:port');
}

export function asZone(value: unknown): string {
  if (typeof value === 'string' && zonePattern.test(value)) return value;
  throw new FrameError("zone is not empty and not a label's value of at most 63 characters");
}

export function asSource(value: unknown): string {
  if (typeof value === 'string' && value.length <= longestSource && visible.test(value)) return value;
  throw new FrameError(`source is not 1 to ${longestSource} visible ASCII characters`);
}

export function asSlots(value: unknown): number {
  if (isCount(value) && value >= 1 && value <= mostSlots) return value;
  throw new FrameError(`slots is not 1 to ${mostSlots}`);
}

export function asLeases(value: unknown): number {
  if (isCount(value) && value <= mostLeases) return value;
  throw new FrameError(`leases is not 0 to ${mostLeases}`);
}

export function asPace(value: unknown): number {
  if (isCount(value) && value <= mostPace) return value;
  throw new FrameError(`pace is not 0 to ${mostPace}`);
}

/** Whether a shard would take what this node is about to say of a blob: images come from anywhere, and so do their names. */
export function isWithinBounds(message: AgentMessage): boolean {
  if (!digestPattern.test(message.blob)) return false;
  if (message.kind === 'spoiled') return true;
  if (!isCount(message.piece) || message.piece > largestPieceIndex) return false;
  return message.kind !== 'want' || (message.source.length <= longestSource && visible.test(message.source));
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0;
}
