import type { PieceKey } from '../../src/store/types.ts';

/** Fills `buffer` with what only this version of this piece has: every 32 bytes say whose they are and where they stand. */
export function fillPiece(buffer: Buffer, key: PieceKey, version: number): void {
  const line = Buffer.alloc(32);
  for (let at = 0; at < buffer.length; at += line.length) {
    line.fill(0);
    line.writeUInt32LE(version, 0);
    line.writeUInt32LE(key.index, 4);
    line.writeUInt32LE(at, 8);
    line.write(key.digest, 12, 20, 'latin1');
    line.copy(buffer, at);
  }
}

/** Whether the bytes are some version of the piece, whole: all lines of one version, each in its place. */
export function isWholePiece(bytes: Buffer, key: PieceKey): boolean {
  const version = Buffer.alloc(4);
  bytes.copy(version);
  const expected = Buffer.alloc(bytes.length);
  fillPiece(expected, key, version.readUInt32LE(0));
  return expected.equals(bytes);
}
