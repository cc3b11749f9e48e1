import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { LeaseWorker } from '../../../src/swarm/lease-worker.ts';
import type { AgentMessage } from '../../../src/swarm/messages.ts';

const blob = `sha256:${'a'.repeat(64)}`;
const lease = (piece: number) => ({ kind: 'lease', blob, piece, source: 'reg.test/app' }) as const;

describe('a mirror that is given leases', () => {
  const said: AgentMessage[] = [];
  let fetches: PromiseWithResolvers<number>[] = [];
  let worker: LeaseWorker;

  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    said.splice(0);
    fetches = [];
    worker = new LeaseWorker({
      say: (message) => said.push(message),
      fetch: () => {
        const fetch = Promise.withResolvers<number>();
        fetches.push(fetch);
        return fetch.promise;
      },
    });
  });
  afterEach(() => {
    worker.close();
    vi.useRealTimers();
  });

  test('fetches the piece once and says that it has it', async () => {
    worker.receive(lease(3));
    worker.receive(lease(3));
    expect(fetches).toHaveLength(1);
    fetches[0]?.resolve(7);
    await turn();
    expect(said).toEqual([{ kind: 'have', blob, piece: 3, crc32c: 7, verified: false }]);
    expect(worker.active).toBe(0);
  });

  test('says that it is at it while it takes long', () => {
    worker.receive(lease(3));
    vi.advanceTimersByTime(5_000);
    expect(said).toEqual([{ kind: 'progress', blob, piece: 3 }]);
  });

  test('gives back what it can not get', async () => {
    worker.receive(lease(3));
    fetches[0]?.reject(new Error('denied'));
    await turn();
    expect(said).toEqual([{ kind: 'cancel', blob, piece: 3 }]);
  });

  test('does nothing on other decisions', () => {
    worker.receive({ kind: 'take', blob, piece: 3, crc32c: 1, peers: [] });
    expect(fetches).toHaveLength(0);
  });
});
