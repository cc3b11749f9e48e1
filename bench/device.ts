import { constants, mkdtempSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { native } from '../src/native/index.ts';
import type { Arena, BlockDevice } from '../src/native/types.ts';
import { type Run, runFio } from './harness/fio.ts';
import { reserveHugePages } from './harness/huge-pages.ts';
import { median } from './harness/stats.ts';

// The block device against fio: the same file, engine (libaio, O_DIRECT), block size, depth and kind of memory, taken in
// turns, because a cloud disk's speed changes from one second to the next. Once with huge pages on both sides, which is what
// the store gives the device, and once with ordinary ones on both: huge pages alone are worth more than any engine.

const KiB = 1024;
const MiB = 1024 * KiB;
const GiB = 1024 * MiB;

const slabBytes = 2 * GiB;
/** Bytes of one run: short, so that both of a pair meet the same disk. */
const runBytes = 512 * MiB;
const depth = 16;
const arenaBytes = depth * MiB;

interface Workload {
  readonly name: 'write' | 'read' | 'randread';
  readonly blockBytes: number;
}

const workloads: readonly Workload[] = [
  { name: 'write', blockBytes: MiB },
  { name: 'read', blockBytes: MiB },
  { name: 'randread', blockBytes: 256 * KiB },
];

export interface DeviceBench {
  /** Speed as a multiple of fio's: the median of the pairs. */
  readonly write: number;
  readonly read: number;
  readonly randread: number;
  /** CPU per GB over the three workloads, as a multiple of fio's: the median of the rounds. */
  readonly cpu: number;
}

/** Keeps `depth` transfers going until `next` has no more offsets; gives the latency of each in milliseconds. */
async function drive(
  depth: number,
  next: () => number | undefined,
  transfer: (lane: number, offset: number) => Promise<unknown>,
) {
  const latencies: number[] = [];
  const lane = async (number: number): Promise<void> => {
    for (let offset = next(); offset !== undefined; offset = next()) {
      const start = performance.now();
      await transfer(number, offset);
      latencies.push(performance.now() - start);
    }
  };
  await Promise.all(Array.from({ length: depth }, (_, number) => lane(number)));
  return latencies;
}

function cpuSeconds(since: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(since);
  return (user + system) / 1e6;
}

async function runDevice(device: BlockDevice, arena: Arena, { name, blockBytes }: Workload): Promise<Run> {
  const blocks = slabBytes / blockBytes;
  const first = Math.floor(Math.random() * blocks);
  let done = 0;
  const next = (): number | undefined => {
    if (done === runBytes / blockBytes) return undefined;
    const block = name === 'randread' ? Math.floor(Math.random() * blocks) : (first + done) % blocks;
    done++;
    return block * blockBytes;
  };
  const buffers = Array.from({ length: depth }, (_, lane) => arena.view(lane * blockBytes, blockBytes));
  const transfer = (lane: number, offset: number): Promise<void> => {
    const buffer = buffers[lane] ?? arena.view(0, blockBytes);
    return name === 'write' ? device.write(buffer, offset) : device.read(buffer, offset);
  };
  const usage = process.cpuUsage();
  const start = performance.now();
  await drive(depth, next, transfer);
  const seconds = (performance.now() - start) / 1000;
  return { speed: runBytes / 1e9 / seconds, cpu: cpuSeconds(usage) / (runBytes / 1e9) };
}

async function compareWithFio(
  device: BlockDevice,
  file: string,
  hugePages: boolean,
  rounds: number,
): Promise<DeviceBench> {
  const arena = native.createArena({ capacity: arenaBytes, hugePages });
  // As in a store that has been running: no page is touched for the first time during a run, and the code is warm.
  arena.view(0, arena.capacity).fill(1);
  for (const workload of workloads) await runDevice(device, arena, workload);

  const pages = hugePages ? 'huge' : 'ordinary';
  const ratios: Record<Workload['name'] | 'cpu', number[]> = { write: [], read: [], randread: [], cpu: [] };
  for (let round = 0; round < rounds; round++) {
    const cpu = { ours: 0, fio: 0 };
    for (const workload of workloads) {
      const { name: work, blockBytes } = workload;
      let ours = round % 2 === 0 ? await runDevice(device, arena, workload) : undefined;
      const fio = runFio({ file, size: slabBytes, bytes: runBytes, work, blockBytes, depth, hugePages });
      ours ??= await runDevice(device, arena, workload);
      ratios[work].push(ours.speed / fio.speed);
      cpu.ours += ours.cpu;
      cpu.fio += fio.cpu;
      const text = ({ speed, cpu }: Run): string => `${speed.toFixed(2)} GB/s ${(cpu * 1000).toFixed(0)} cpu-ms/GB`;
      console.log(`  ${pages} pages, ${work.padEnd(8)} device ${text(ours)}, fio ${text(fio)}`);
    }
    ratios.cpu.push(cpu.ours / cpu.fio);
  }
  const result = {
    write: median(ratios.write),
    read: median(ratios.read),
    randread: median(ratios.randread),
    cpu: median(ratios.cpu),
  };
  console.log(`device, ${pages} pages on both sides: ${describeDevice(result)}`);
  return result;
}

/** The bench's last line, after its name. */
export function describeDevice({ write, read, randread, cpu }: DeviceBench): string {
  const times = (value: number) => `${value.toFixed(2)}x`;
  return `write ${times(write)} read ${times(read)} randread ${times(randread)} of fio, cpu ${times(cpu)}`;
}

/** With each kind of memory that can be had; of both results the worse one stands. */
async function compareBothWays(file: string, rounds: number): Promise<DeviceBench> {
  const device = await native.openBlockDevice({ path: file, capacity: slabBytes, aio: 1, depth });
  if (device.engine !== 'libaio') throw new Error(`libaio is what is compared: ${device.engineReason}`);
  // Blocks that were never written cost the file system more than the disk.
  runFio({ file, size: slabBytes, bytes: slabBytes, work: 'write', blockBytes: MiB, depth, hugePages: false });
  const results = [await compareWithFio(device, file, false, rounds)];
  // fio takes a page more than its buffers have.
  const giveBack = reserveHugePages(2 * arenaBytes);
  if (giveBack === undefined) console.log('  the kernel gives no huge pages to fio: only ordinary ones are compared');
  else {
    try {
      results.push(await compareWithFio(device, file, true, rounds));
    } finally {
      giveBack();
    }
  }
  await device.close();
  return {
    write: Math.min(...results.map(({ write }) => write)),
    read: Math.min(...results.map(({ read }) => read)),
    randread: Math.min(...results.map(({ randread }) => randread)),
    cpu: Math.max(...results.map(({ cpu }) => cpu)),
  };
}

/** A way to read the file, for the table. */
interface Way {
  readonly name: string;
  readonly memory: Arena;
  open(depth: number): Promise<{ read(buffer: Buffer, offset: number): Promise<unknown>; close(): Promise<void> }>;
}

function waysToRead(file: string): readonly Way[] {
  const ordinary = native.createArena({ capacity: 16 * MiB });
  const huge = native.createArena({ capacity: 16 * MiB, hugePages: true });
  const device = (aio: 0 | 1) => (depth: number) =>
    native.openBlockDevice({ path: file, capacity: slabBytes, aio, depth });
  return [
    { name: 'libaio, huge pages', memory: huge, open: device(1) },
    { name: 'libaio', memory: ordinary, open: device(1) },
    { name: 'pool', memory: ordinary, open: device(0) },
    {
      name: 'fs.promises',
      memory: ordinary,
      open: async () => {
        const handle = await open(file, constants.O_RDONLY | constants.O_DIRECT);
        return {
          read: (buffer, offset) => handle.read(buffer, 0, buffer.length, offset),
          close: () => handle.close(),
        };
      },
    },
  ];
}

/** Random reads of 256 KiB by both engines and by Node's own file handles (libuv's four threads), `cellMs` each. */
async function tabulate(file: string, cellMs: number): Promise<void> {
  const blockBytes = 256 * KiB;
  const print = (columns: readonly (string | number)[]): void => {
    const widths = [20, 6, 7, 11, 8, 8];
    console.log(`  ${columns.map((text, i) => String(text).padStart(widths[i] ?? 0)).join('')}`);
  };
  print(['256 KiB random reads', 'depth', 'GB/s', 'cpu-ms/GB', 'p50 ms', 'p99 ms']);
  for (const depth of [1, 4, 16, 64]) {
    for (const way of waysToRead(file)) {
      const reader = await way.open(depth);
      const end = performance.now() + cellMs;
      const next = (): number | undefined =>
        performance.now() < end ? Math.floor((Math.random() * slabBytes) / blockBytes) * blockBytes : undefined;
      const usage = process.cpuUsage();
      const start = performance.now();
      const latencies = await drive(depth, next, (lane, offset) =>
        reader.read(way.memory.view(lane * blockBytes, blockBytes), offset),
      );
      const seconds = (performance.now() - start) / 1000;
      const gigabytes = (latencies.length * blockBytes) / 1e9;
      const sorted = latencies.toSorted((a, b) => a - b);
      const at = (share: number): string => (sorted[Math.floor(sorted.length * share)] ?? Number.NaN).toFixed(2);
      const cpu = ((cpuSeconds(usage) / gigabytes) * 1000).toFixed(0);
      print([way.name, depth, (gigabytes / seconds).toFixed(2), cpu, at(0.5), at(0.99)]);
      await reader.close();
    }
  }
}

/**
 * Measures the device in `folder` (2 GiB are taken while it runs) and prints each run and a table of the engines.
 * @returns the medians of paired runs against fio, the worse of two kinds of memory.
 */
export async function benchDevice(folder: string, { rounds = 7, cellMs = 500 } = {}): Promise<DeviceBench> {
  const scratch = mkdtempSync(path.join(folder, 'shoal-bench-device-'));
  try {
    const file = path.join(scratch, 'slab');
    console.log(`block device against fio, depth ${depth}, ${runBytes / MiB} MiB a run, taken in turns:`);
    const result = await compareBothWays(file, rounds);
    await tabulate(file, cellMs);
    return result;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

if (import.meta.main) console.log(`device: ${describeDevice(await benchDevice(tmpdir()))}`);
