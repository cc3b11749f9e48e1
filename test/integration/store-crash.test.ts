import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import { expect, it } from 'vitest';
import { native } from '../../src/native/index.ts';
import { createPieceStore } from '../../src/store/store.ts';
import { isWholePiece } from '../harness/piece-content.ts';
import { crashConfig } from './store-crash-config.ts';

const lanes = 4;
const killsPerLane = 51;
const writer = fileURLToPath(new URL('store-crash-writer.ts', import.meta.url));

/** Lets a writer work on the directory for a random time and kills it. */
async function writeAndKill(directory: string, seed: number, compiled: string): Promise<void> {
  const child = spawn(process.execPath, [writer, directory, String(seed)], {
    stdio: ['ignore', 'pipe', 'inherit'],
    // Compiled modules are kept from one writer to the next: most of the time would go into starting them otherwise.
    env: { ...process.env, NODE_COMPILE_CACHE: compiled },
  });
  const exit = once(child, 'exit');
  try {
    const [said] = await Promise.race([once(child.stdout, 'data'), exit]);
    expect(String(said)).toBe('ready\n');
    await delay(Math.random() * 60);
  } finally {
    child.kill('SIGKILL');
    await exit;
  }
}

/** Reads every piece that the index still names; returns how many there were. */
async function checkAll(directory: string): Promise<number> {
  const store = await createPieceStore({ config: crashConfig, directory, native, log: pino({ level: 'silent' }) });
  const { pieces } = store.stat();
  let found = 0;
  for (let blob = 0; blob < 12; blob += 1) {
    for (let index = 0; index < 16; index += 1) {
      const key = { digest: `blob-${blob}`, index };
      const piece = await store.get(key);
      if (!piece) continue;
      found += 1;
      expect(piece.bytes.length).toBe(1 + index * 20_000);
      expect(isWholePiece(piece.bytes, key)).toBe(true);
      piece.release();
    }
  }
  // SIGKILL tears nothing that the index names: the order of writing sees to that.
  expect(store.stat()).toMatchObject({ corrupt: 0, pieces });
  expect(store.stat().disk?.degraded).toBeUndefined();
  await store.close();
  expect(found).toBe(pieces);
  return found;
}

it('has every piece whole that survives a SIGKILL at any moment, 204 times', { timeout: 240_000 }, async () => {
  const survivors = await Promise.all(
    Array.from({ length: lanes }, async (_, lane) => {
      const root = await mkdtemp(path.join(os.tmpdir(), 'shoal-crash-'));
      const directory = path.join(root, 'cache');
      try {
        let sum = 0;
        for (let kill = 0; kill < killsPerLane; kill += 1) {
          await writeAndKill(directory, 1 + lane * 1000 + kill, path.join(root, 'compiled'));
          sum += await checkAll(directory);
        }
        return sum;
      } finally {
        await rm(root, { recursive: true });
      }
    }),
  );
  // Or the test would show nothing.
  for (const sum of survivors) expect(sum).toBeGreaterThan(killsPerLane);
});
