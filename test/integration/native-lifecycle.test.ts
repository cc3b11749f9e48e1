import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';

// Each case in a process of its own: what could go wrong here is a crash, a hang, or memory that is never given back.

const folder = mkdtempSync(path.join(tmpdir(), 'shoal-lifecycle-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const entry = new URL('../../src/native/index.ts', import.meta.url).href;

/** What every script may use: the addon, a slab's path, a device, memory for it, and collected garbage. */
const prelude = `
  import { native } from ${JSON.stringify(entry)};
  import { readdirSync, readlinkSync } from 'node:fs';
  import { setImmediate as turn } from 'node:timers/promises';
  const slab = ${JSON.stringify(path.join(folder, 'slab'))};
  const MiB = 2 ** 20;
  const open = (aio) => native.openBlockDevice({ path: slab, capacity: 16 * MiB, aio, depth: 8 });
  const memory = (size) => native.createArena({ capacity: size }).view(0, size);
  async function collect() {
    for (let i = 0; i < 5; i++) {
      globalThis.gc();
      await turn();
    }
  }
`;

function run(script: string, environment: NodeJS.ProcessEnv = {}): string {
  const child = spawnSync(process.execPath, ['--expose-gc', '--input-type=module', '--eval', prelude + script], {
    encoding: 'utf8',
    timeout: 50_000,
    env: { ...process.env, ...environment },
  });
  expect(child).toMatchObject({ status: 0, signal: null, stderr: '' });
  return child.stdout.trim();
}

describe.each([1, 0] as const)('with aio %d, the addon', (aio) => {
  it('ends the process by itself when nothing is under way, open devices or not', () => {
    expect(run(`const device = await open(${aio}); await device.write(memory(MiB), 0); console.log('done');`)).toBe(
      'done',
    );
  });

  it('keeps the process alive until the last request has ended', () => {
    const script = `
      const device = await open(${aio});
      const view = memory(MiB);
      let ended = 0;
      for (let i = 0; i < 64; i++) device.write(view, (i % 16) * MiB).then(() => { ended++; });
      process.on('exit', () => console.log(ended));`;
    expect(run(script)).toBe('64');
  });

  it('lets the process exit in the middle of requests', () => {
    const script = `
      const device = await open(${aio});
      const view = memory(MiB);
      for (let i = 0; i < 64; i++) void device.write(view, (i % 16) * MiB);
      const hash = native.createSha256();
      for (let i = 0; i < 64; i++) void hash.update(view);
      console.log('exit');
      process.exit(0);`;
    expect(run(script)).toBe('exit');
  });

  it('serves requests whose device, arena and views were dropped, then gives everything back', () => {
    const script = `
      const before = process.memoryUsage.rss();
      for (let round = 0; round < 6; round++) {
        let device = await open(${aio});
        const requests = [];
        for (let i = 0; i < 16; i++) requests.push(device.write(memory(MiB).fill(i), i * MiB));
        device = undefined;
        await collect();
        await Promise.all(requests);
      }
      await collect();
      const files = readdirSync('/proc/self/fd').filter((fd) => {
        try { return readlinkSync('/proc/self/fd/' + fd) === slab; } catch { return false; }
      });
      const threads = readdirSync('/proc/self/task').length;
      console.log(JSON.stringify({ files: files.length, fewThreads: threads < 40,
        given: process.memoryUsage.rss() - before < 128 * MiB }));`;
    expect(JSON.parse(run(script))).toEqual({ files: 0, fewThreads: true, given: true });
  });

  it('survives workers that are terminated with requests in flight', () => {
    const script = `
      import { Worker } from 'node:worker_threads';
      const body = \`
        const { native } = await import(${JSON.stringify(entry)});
        const { parentPort, workerData } = await import('node:worker_threads');
        const { slab, MiB, aio } = workerData;
        const device = await native.openBlockDevice({ path: slab, capacity: 16 * MiB, aio, depth: 8 });
        const arena = native.createArena({ capacity: 16 * MiB });
        const hash = native.createSha256();
        for (let i = 0; i < 256; i++) {
          const view = arena.view((i % 16) * MiB, MiB);
          void device.read(view, (i % 16) * MiB);
          void hash.update(view);
        }
        void device.sync();
        void native.openBlockDevice({ path: slab, capacity: 16 * MiB, aio });
        parentPort.postMessage('started');\`;
      for (let i = 0; i < 8; i++) {
        const worker = new Worker(body, { eval: true, workerData: { slab, MiB, aio: ${aio} } });
        worker.on('error', (error) => { throw error; });
        await new Promise((resolve) => worker.once('message', resolve));
        await worker.terminate();
      }
      // The environment that goes on is undisturbed.
      const device = await open(${aio});
      await device.write(memory(MiB), 0);
      await device.close();
      console.log('survived');`;
    expect(run(script)).toBe('survived');
  });
});

describe('the addon', () => {
  it('serves by the pool, and says why, where libaio cannot be loaded', () => {
    const libraries = path.join(folder, 'libraries');
    mkdirSync(libraries);
    for (const name of ['libaio.so.1', 'libaio.so.1t64']) writeFileSync(path.join(libraries, name), 'no library');
    const script = `
      const device = await open(1);
      await device.write(memory(MiB), 0);
      console.log(JSON.stringify({ engine: device.engine, reason: device.engineReason }));`;
    const { engine, reason } = JSON.parse(run(script, { LD_LIBRARY_PATH: libraries }));
    expect(engine).toBe('pool');
    expect(reason).toContain('libaio.so.1:');
    expect(reason).toContain('libaio.so.1t64');
  });

  it('does not make the garbage collector busy with an arena of 8 GiB', () => {
    const script = `
      import { PerformanceObserver, constants } from 'node:perf_hooks';
      const arena = native.createArena({ capacity: 8192 * MiB });
      await collect();
      let collections = 0;
      new PerformanceObserver((list) => {
        collections += list.getEntries().filter((e) => e.detail.kind === constants.NODE_PERFORMANCE_GC_MAJOR).length;
      }).observe({ entryTypes: ['gc'] });
      for (let i = 0; i < 20_000; i++) {
        arena.view((i % 2000) * 4 * MiB, 4 * MiB)[0] = i;
        if (i % 1000 === 0) await turn();
      }
      await turn();
      console.log(collections);`;
    expect(Number(run(script))).toBeLessThanOrEqual(2);
  });

  it('gives an arena back when nobody holds it any more', () => {
    const script = `
      for (let i = 0; i < 20; i++) {
        memory(64 * MiB).fill(1);
        await collect();
      }
      console.log(process.memoryUsage.rss() < 512 * MiB);`;
    expect(run(script)).toBe('true');
  });
});
