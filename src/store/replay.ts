import type { JournalRecord, PutRecord } from './journal-format.ts';

/** What a journal comes to. */
export interface Replayed {
  /** In the order of their last put: pieces that overlap no other and lie within the slab. */
  readonly pieces: PutRecord[];
  /** Digests of blobs that are verified and lost no piece since. */
  readonly verified: Set<string>;
}

/**
 * Applies the records in order. A put over blocks of another piece ends that piece, even if its drop was never written: the
 * blocks have been overwritten. Pure.
 */
export function replay(records: Iterable<JournalRecord>, geometry: { blocks: number; blockSize: number }): Replayed {
  const pieces = new Map<string, PutRecord>();
  const verified = new Set<string>();
  const holders: (PutRecord | undefined)[] = new Array(geometry.blocks).fill(undefined);
  const keyOf = (record: { digest: string; index: number }) => `${record.digest}/${record.index}`;
  const endOf = (piece: PutRecord) => piece.at + Math.ceil(piece.length / geometry.blockSize);

  const remove = (piece: PutRecord | undefined) => {
    if (!piece) return;
    pieces.delete(keyOf(piece));
    verified.delete(piece.digest);
    holders.fill(undefined, piece.at, endOf(piece));
  };

  for (const record of records) {
    if (record.type === 'verified') verified.add(record.digest);
    else {
      remove(pieces.get(keyOf(record)));
      if (record.type === 'put' && record.length > 0 && endOf(record) <= geometry.blocks) {
        for (let at = record.at; at < endOf(record); at += 1) remove(holders[at]);
        holders.fill(record, record.at, endOf(record));
        pieces.set(keyOf(record), record);
      }
    }
  }
  return { pieces: [...pieces.values()], verified };
}
