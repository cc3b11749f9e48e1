import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { pino } from 'pino';
import type { CacheConfig } from '../src/config/schema.ts';
import { native } from '../src/native/index.ts';
import type { Arena, BlockDevice } from '../src/native/types.ts';
import type { Store } from '../src/store/piece-store.ts';
import { createPieceStore } from '../src/store/store.ts';
import type { Scope } from '../test/harness/scope.ts';
import { benchDevice, describeDevice } from './device.ts';
import { main } from './harness/main.ts';
import { GB, MiB, median, seconds } from './harness/stats.ts';

/**
 * The whole store against its bare device: pieces of 1 MiB are put and read back, with checksums, index and eviction, and in turns
 * the same bytes are written to a file and read with nothing but the device. Then the device against fio.
 */
const { values: flags } = parseArgs({
  options: {
    'total-mib': { type: 'string', default: '4096' },
    rounds: { type: 'string', default: '8' },
    /** Where the files go: the disk that is measured. */
    directory: { type: 'string', default: tmpdir() },
    /** Leave the comparison with fio out. */
    'store-only': { type: 'boolean', default: false },
  },
});

const totalBytes = Number(flags['total-mib']) * MiB;
const rounds = Number(flags.rounds);
const pieceBytes = MiB;
const depth = 16;
const memoryTier = 64 * MiB;
const mostOverhead = 150 * MiB;

const config: CacheConfig = {
  mode: 'disk',
  blocksize: 256,
  capacity: totalBytes,
  optionBlockSize: memoryTier,
  memoryCacheCapacityGB: 1,
  aio: 1,
  cacheTTL: 0,
};

/** Runs `request` for 0 to count - 1, `depth` at a time; each lane has its own number. */
async function drive(count: number, request: (at: number, lane: number) => Promise<void>): Promise<void> {
  let next = 0;
  const lane = async (_: unknown, number: number) => {
    while (next < count) await request(next++, number);
  };
  await Promise.all(Array.from({ length: depth }, lane));
}

async function put(store: Store, round: number, count: number): Promise<void> {
  await drive(count, async (index) => {
    const writer = await store.reserve({ digest: `round-${round}`, index }, pieceBytes);
    // Whose piece it is; the rest is what the memory holds: as good as any for a disk.
    writer.buffer.writeUInt32LE(round, 0);
    writer.buffer.writeUInt32LE(index, 4);
    writer.commit(native.crc32c(writer.buffer)).release();
  });
  while (store.stat().memory.dirty > 0) await new Promise((resolve) => setTimeout(resolve, 1));
}

async function get(store: Store, round: number, count: number): Promise<void> {
  await drive(count, async (index) => {
    const piece = await store.get({ digest: `round-${round}`, index });
    if (!piece) throw new Error(`piece ${index} of round ${round} is not in the store`);
    if (piece.bytes.readUInt32LE(0) !== round || piece.bytes.readUInt32LE(4) !== index) {
      throw new Error(`piece ${index} of round ${round} holds something else`);
    }
    piece.release();
  });
}

/** The bare device: a file of the same size, whose part for this round is written or read. */
function bare(device: BlockDevice, arena: Arena, what: 'write' | 'read', round: number, count: number): Promise<void> {
  const first = (round * count) % (totalBytes / pieceBytes);
  return drive(count, (at, lane) => device[what](arena.view(lane * pieceBytes, pieceBytes), (first + at) * pieceBytes));
}

async function benchStore(scope: Scope): Promise<void> {
  const folder = await mkdtemp(path.join(flags.directory, 'shoal-bench-store-'));
  scope.defer(() => rm(folder, { recursive: true, force: true }));
  const directory = path.join(folder, 'cache');
  const store = await createPieceStore({ config, directory, native, log: pino({ level: 'warn' }) });
  scope.defer(() => store.close());
  const file = path.join(folder, 'bare');
  const device = await native.openBlockDevice({ path: file, capacity: totalBytes, aio: 1, depth: 32 });
  scope.defer(() => device.close());
  const arena = native.createArena({ capacity: depth * pieceBytes });

  const count = Math.floor(totalBytes / pieceBytes / rounds);
  // Both files' blocks are written once: taking them from the file system costs more than the disk does.
  for (let round = 0; round < rounds; round += 1) {
    await put(store, rounds + round, count);
    await bare(device, arena, 'write', round, count);
  }
  const ratios: number[] = [];
  console.log(`whole store, pieces of 1 MiB, ${depth} at a time, ${count} a round, in turns with the bare device:`);
  for (let round = 0; round < rounds; round += 1) {
    const ours = { put: await seconds(() => put(store, round, count)), get: 0 };
    const theirs = { write: await seconds(() => bare(device, arena, 'write', round, count)), read: 0 };
    ours.get = await seconds(() => get(store, round, count));
    theirs.read = await seconds(() => bare(device, arena, 'read', round, count));
    ratios.push((theirs.write + theirs.read) / (ours.put + ours.get));
    const speed = (time: number) => `${((count * pieceBytes) / GB / time).toFixed(2)} GB/s`;
    console.log(
      `  put ${speed(ours.put)} (device ${speed(theirs.write)}), get ${speed(ours.get)} (device ${speed(theirs.read)})`,
    );
  }
  const { evictions, corrupt, hits, misses } = store.stat();
  console.log(
    `  ${evictions} evictions, hits ${hits.disk} disk ${hits.memory} memory, ${misses} misses, ${corrupt} damaged`,
  );
  const peak = process.resourceUsage().maxRSS * 1024;
  const limit = memoryTier + mostOverhead;
  console.log(`store: put + get ${median(ratios).toFixed(2)}x of the bare device`);
  console.log(`store: peak RSS ${Math.ceil(peak / MiB)} MiB of ${limit / MiB} MiB (memory tier + 150 MiB)`);
}

await main('bench-store', async (scope) => {
  await benchStore(scope);
  if (flags['store-only']) return 'bench-store: the device was not measured';
  return `bench-store: ${describeDevice(await benchDevice(flags.directory))}`;
});
