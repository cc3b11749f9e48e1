import { type ByteSource, type BytesBySource, byteSources } from '../pull/observer.ts';
import { formatBytes, formatShare } from '../units.ts';

/** How the sources are called where people read them. */
export const sourceNames: Readonly<Record<ByteSource, string>> = {
  memory: 'memory',
  disk: 'disk',
  peer: 'peers',
  mirror: 'mirrors',
  origin: 'registry',
};

export function allBytes(bytes: BytesBySource): number {
  return byteSources.reduce((sum, source) => sum + bytes[source], 0);
}

/** Bytes that did not have to come from the registry. */
export function avoidedBytes(bytes: BytesBySource): number {
  return allBytes(bytes) - bytes.origin;
}

/** `83 % peers, 17 % registry`, the largest first; empty when there are no bytes. */
export function describeShares(bytes: BytesBySource): string {
  const all = allBytes(bytes);
  return sorted(bytes)
    .map((source) => `${formatShare(bytes[source], all)} ${sourceNames[source]}`)
    .join(', ');
}

/** `71.0 MiB from peers, 11.3 MiB from the registry`. */
export function describeSources(bytes: BytesBySource): string {
  const parts = sorted(bytes).map(
    (source) => `${formatBytes(bytes[source])} from ${source === 'origin' ? 'the registry' : sourceNames[source]}`,
  );
  return parts.join(', ');
}

function sorted(bytes: BytesBySource): ByteSource[] {
  return byteSources.filter((source) => bytes[source] > 0).sort((a, b) => bytes[b] - bytes[a]);
}
