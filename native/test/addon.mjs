// Exercises the whole addon in Node, for the sanitizers: `node --expose-gc addon.mjs <package root>`. The root's
// build/Release/shoal.node is an addon with the sanitizers in it.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { isMainThread, Worker, workerData } from 'node:worker_threads';

const root = isMainThread ? process.argv[2] : workerData.root;
const { native } = await import(pathToFileURL(path.join(root, 'src/native/index.ts')).href);
const folder = isMainThread ? mkdtempSync(path.join(tmpdir(), 'shoal-sanitize-')) : workerData.folder;
const slab = path.join(folder, 'slab');
const MiB = 2 ** 20;

async function collect() {
  for (let i = 0; i < 4; i++) {
    globalThis.gc?.();
    await turn();
  }
}

async function checksums() {
  const bytes = native.createArena({ capacity: MiB }).view(0, MiB).fill('shoal');
  assert.equal(native.crc32c(Buffer.from('123456789')), 0xe3069283);
  assert.equal(await native.crc32cOffLoop(bytes), native.crc32c(bytes));
  await assert.rejects(native.crc32cOffLoop(Buffer.from(new ArrayBuffer(4096))), TypeError);
  const hash = native.createSha256();
  for (let i = 0; i < 16; i++) void hash.update(bytes);
  const reference = createHash('sha256');
  for (let i = 0; i < 16; i++) reference.update(bytes);
  assert.equal(await hash.digest(), reference.digest('hex'));
}

async function device(aio) {
  const opened = await native.openBlockDevice({ path: slab, capacity: 8 * MiB, aio, depth: 8 });
  const arena = native.createArena({ capacity: 16 * MiB, hugePages: true });
  const offsets = Array.from({ length: 128 }, (_, i) => i * 64 * 1024);
  await Promise.all(offsets.map((at) => opened.write(arena.view(at, 64 * 1024).fill(at / 65536), at)));
  await opened.sync();
  await Promise.all(offsets.map((at) => opened.read(arena.view(8 * MiB + at, 64 * 1024), at)));
  assert(arena.view(0, 8 * MiB).equals(arena.view(8 * MiB, 8 * MiB)));
  arena.discard(0, 8 * MiB);
  await assert.rejects(opened.read(Buffer.from(new ArrayBuffer(4096)), 0), TypeError);
  await opened.close();
  await assert.rejects(native.openBlockDevice({ path: folder, capacity: MiB, aio }), { code: 'EISDIR' });
}

async function dropped(aio) {
  let opened = await native.openBlockDevice({ path: slab, capacity: 8 * MiB, aio });
  const requests = [];
  for (let i = 0; i < 8; i++) {
    requests.push(opened.write(native.createArena({ capacity: MiB }).view(0, MiB).fill(i), i * MiB));
  }
  opened = undefined;
  await collect();
  await Promise.all(requests);
  await collect();
}

async function terminated(aio) {
  const worker = new Worker(new URL(import.meta.url), { workerData: { root, folder, aio } });
  await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
  await worker.terminate();
}

async function inWorker() {
  const opened = await native.openBlockDevice({ path: slab, capacity: 8 * MiB, aio: workerData.aio, depth: 4 });
  const arena = native.createArena({ capacity: 8 * MiB });
  const hash = native.createSha256();
  for (let i = 0; i < 64; i++) {
    void opened.read(arena.view((i % 8) * MiB, MiB), (i % 8) * MiB);
    void hash.update(arena.view((i % 8) * MiB, MiB));
    void native.crc32cOffLoop(arena.view((i % 8) * MiB, MiB));
  }
  const { parentPort } = await import('node:worker_threads');
  parentPort.postMessage('started');
}

if (isMainThread) {
  try {
    await checksums();
    for (const aio of [1, 0]) {
      await device(aio);
      for (let i = 0; i < 3; i++) await dropped(aio);
      for (let i = 0; i < 3; i++) await terminated(aio);
    }
    console.log('all is well');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
} else {
  await inWorker();
}
