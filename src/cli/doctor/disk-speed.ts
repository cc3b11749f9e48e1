import { mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';
import { native } from '../../native/index.ts';
import type { BlockDevice } from '../../native/types.ts';
import { UsageError } from '../exit-codes.ts';
import { type OutputFormat, print } from '../output.ts';

interface Options {
  readonly directory: string;
  /** MiB of the file that is measured. */
  readonly size: string;
  readonly aio: '0' | '1';
  readonly output: OutputFormat;
}

const KiB = 1024;
const MiB = 1024 * KiB;

/**
 * What the seeds ask for with "data disks of the AutoPL type", for images of large models: an ESSD AutoPL disk's baseline, without
 * provisioned performance or bursts: min(1800 + 50 × GiB, 50000) IOPS and min(120 + 0.5 × GiB, 350) MB/s
 * (https://www.alibabacloud.com/help/en/elastic-compute-service/latest/essd-autopl). Throughput is at its ceiling from 460 GiB on;
 * 40 GiB is the smallest such disk. Between those the cache works, only slower than the disk that the seeds have in mind.
 */
export const autoPl = {
  smallest: { iops: 1800 + 50 * 40, megabytes: 120 + 0.5 * 40 },
  full: { iops: 1800 + 50 * 460, megabytes: 350 },
} as const;

export interface DiskMeasure {
  readonly engine: string;
  readonly engineReason: string;
  readonly direct: boolean;
  /** MB/s (10^6 bytes), 1 MiB requests, 16 at a time. */
  readonly writeMegabytes: number;
  readonly readMegabytes: number;
  /** Random reads of 4 KiB a second, 32 at a time; AutoPL's IOPS are counted at up to 16 KiB. */
  readonly readIops: number;
}

export type Verdict = 'large-images' | 'usable' | 'too-slow';

/** `shoal doctor disk`. */
export async function doctorDisk(options: Options): Promise<void> {
  const size = Number(options.size);
  if (!Number.isInteger(size) || size < 64) throw new UsageError('--size is a whole number of MiB, at least 64');
  const measure = await measureDisk(options.directory, size * MiB, options.aio === '1' ? 1 : 0);
  const verdict = judge(measure);
  print(options.output, describe(options.directory, measure, verdict), { ...measure, verdict, wanted: autoPl });
}

/** Measures with the engine that the cache uses, on a file of its own in `directory`, which is gone afterwards. */
export async function measureDisk(directory: string, size: number, aio: 0 | 1): Promise<DiskMeasure> {
  const folder = await mkdtemp(path.join(directory, 'shoal-doctor-'));
  try {
    const device = await native.openBlockDevice({ path: path.join(folder, 'probe'), capacity: size, aio, depth: 32 });
    const arena = native.createArena({ capacity: 32 * MiB, hugePages: true });
    try {
      const blocks = size / MiB;
      const write = (at: number, buffer: Buffer) => device.write(buffer, at * MiB);
      const read = (at: number, buffer: Buffer) => device.read(buffer, at * MiB);
      const buffers = (count: number, length: number) =>
        Array.from({ length: count }, (_, at) => arena.view(at * length, length));
      // The first pass takes the file's blocks from the file system; the cache writes over and over, so the second counts.
      await rate(blocks, buffers(16, MiB), write);
      const writes = await rate(blocks, buffers(16, MiB), write);
      await device.sync();
      const reads = await rate(blocks, buffers(16, MiB), read);
      const readIops = await rate(randomReads, buffers(32, 4 * KiB), (_, buffer) =>
        device.read(buffer, Math.floor(Math.random() * (size / (4 * KiB))) * 4 * KiB),
      );
      return { ...description(device), writeMegabytes: megabytes(writes), readMegabytes: megabytes(reads), readIops };
    } finally {
      await device.close();
      arena.close();
    }
  } finally {
    await rm(folder, { recursive: true });
  }
}

export function judge({ writeMegabytes, readMegabytes, readIops }: DiskMeasure): Verdict {
  const reaches = ({ iops, megabytes }: { iops: number; megabytes: number }) =>
    Math.min(writeMegabytes, readMegabytes) >= megabytes && readIops >= iops;
  if (reaches(autoPl.full)) return 'large-images';
  return reaches(autoPl.smallest) ? 'usable' : 'too-slow';
}

const randomReads = 20_000;

function description({ engine, engineReason, direct }: BlockDevice) {
  return { engine, engineReason, direct };
}

function megabytes(mebibytes: number): number {
  return (mebibytes * MiB) / 1e6;
}

/** Requests a second: `count` of them, as many at a time as there are buffers. */
async function rate(
  count: number,
  buffers: readonly Buffer[],
  request: (at: number, buffer: Buffer) => Promise<void>,
): Promise<number> {
  const begin = performance.now();
  let next = 0;
  await Promise.all(
    buffers.map(async (buffer) => {
      while (next < count) await request(next++, buffer);
    }),
  );
  return count / ((performance.now() - begin) / 1000);
}

function describe(directory: string, measure: DiskMeasure, verdict: Verdict): string {
  const { engine, engineReason, direct, writeMegabytes, readMegabytes, readIops } = measure;
  const { smallest, full } = autoPl;
  const said = {
    'large-images': 'suffices for large images: at least the baseline of an AutoPL disk of 460 GiB',
    usable:
      'suffices for ordinary images; for large ones it is slower than an AutoPL disk of 460 GiB, whose baseline is the most there is',
    'too-slow': 'too slow for a cache: below the smallest AutoPL disk. Use another disk, or p2p.v2.cache.mode: memory',
  }[verdict];
  return [
    `${directory}: engine ${engine} (${engineReason}), ${direct ? 'past the page cache' : 'through the page cache: the file system has no O_DIRECT, so the figures are those of memory'}`,
    `write ${writeMegabytes.toFixed(0)} MB/s, read ${readMegabytes.toFixed(0)} MB/s, random read ${readIops.toFixed(0)} IOPS`,
    `AutoPL baseline: ${smallest.megabytes} MB/s and ${smallest.iops} IOPS at 40 GiB, ${full.megabytes} MB/s and ${full.iops} IOPS at 460 GiB`,
    said,
  ].join('\n');
}
