/**
 * Writes to a store without end, until it is killed: `node store-crash-writer.ts <directory> <seed>`. Says `ready` when it is
 * at work.
 */
import { flushCompileCache } from 'node:module';
import { pino } from 'pino';
import { native } from '../../src/native/index.ts';
import { createPieceStore } from '../../src/store/store.ts';
import { fillPiece } from '../harness/piece-content.ts';
import { crashConfig } from './store-crash-config.ts';

const [directory = '', seed = '1'] = process.argv.slice(2);
const store = await createPieceStore({ config: crashConfig, directory, native, log: pino({ level: 'silent' }) });

/** Enough for the disk to be at work when the kill comes. */
const stepsBeforeReady = 60;

let state = Number(seed);
/** A small generator of our own (Park and Miller's), so that a seed tells what was done. */
function random(below: number): number {
  state = (state * 48271) % 2147483647;
  return state % below;
}

async function step(version: number): Promise<void> {
  const digest = `blob-${random(12)}`;
  if (random(200) === 0) store.drop(digest);
  else if (random(20) === 0) store.markVerified(digest);
  else {
    const key = { digest, index: random(16) };
    // Of each index there is one length: from less than a page to several blocks.
    const length = 1 + key.index * 20_000;
    const piece = random(3) === 0 ? await store.get(key) : undefined;
    if (piece) piece.release();
    else {
      const writer = await store.reserve(key, length);
      fillPiece(writer.buffer, key, version);
      writer.commit(native.crc32c(writer.buffer)).release();
    }
  }
}

// Compiled code is kept for the next writer now: this one does not come to its end.
flushCompileCache();
for (let version = 1; ; version += 1) {
  await step(version);
  // Lets the disk and the signals in.
  if (version % 4 === 0) await new Promise((resolve) => setImmediate(resolve));
  if (version === stepsBeforeReady) process.stdout.write('ready\n');
}
