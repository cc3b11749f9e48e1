import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Clock } from '../../../src/clock.ts';
import { Informer } from '../../../src/kubernetes/informer.ts';
import { namespaces } from '../../../src/kubernetes/resources.ts';
import { type KubernetesClient, KubernetesError, type WatchEvent } from '../../../src/kubernetes/types.ts';
import { createLogger } from '../../../src/telemetry/log.ts';

type Watch = (signal: AbortSignal) => AsyncIterable<readonly WatchEvent[]>;
const bookmark: WatchEvent = { type: 'BOOKMARK', resourceVersion: '2' };
const away = () => new KubernetesError('unavailable', 'away');

/** Ends when its signal says so, as a hung or quiet connection does. */
async function* silence(signal: AbortSignal): AsyncGenerator<readonly WatchEvent[]> {
  signal.throwIfAborted();
  await new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}

/** Runs an informer with scripted watches, on a clock that tells what was waited for. */
function follow(watch: Watch, list?: KubernetesClient['list']) {
  const time = { now: 0 };
  const waits: number[] = [];
  const log: string[] = [];
  const clock: Clock = {
    now: () => time.now,
    sleep: async (milliseconds, signal) => {
      waits.push(milliseconds);
      signal?.throwIfAborted();
    },
    random: () => 1,
  };
  const client: KubernetesClient = {
    list: vi.fn(list ?? (async () => ({ objects: [], resourceVersion: '1' }))),
    watch: vi.fn<KubernetesClient['watch']>((_resource, { signal }) => watch(signal)),
    close: async () => {},
  };
  const logger = createLogger({ name: 'test', level: 'silent' });
  vi.spyOn(logger, 'warn').mockImplementation((_fields: unknown, text?: unknown) => void log.push(String(text)));
  const options = { client, resource: namespaces, parse: () => true, onChange: () => {}, logger, clock };
  const informer = new Informer(options);
  return { informer, client, waits, log, time };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('an informer', () => {
  test('waits longer after each failure in a row, a minute at most', async () => {
    let tries = 0;
    const done = Promise.withResolvers<void>();
    const { informer, waits, log } = follow(async function* (signal) {
      tries += 1;
      if (tries <= 8) throw away();
      done.resolve();
      yield* silence(signal);
    });
    await done.promise;
    expect(waits).toEqual([1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000]);
    expect(log).toEqual(['the Kubernetes API does not answer']);
    await informer.close();
  });

  test('asks again at once when the server ends a watch that has lasted, and waits when it ends every one at once', async () => {
    let tries = 0;
    const done = Promise.withResolvers<void>();
    const { informer, waits, time } = follow(async function* (signal) {
      tries += 1;
      yield [];
      if (tries === 1) time.now += 300_000;
      if (tries < 4) return;
      done.resolve();
      yield* silence(signal);
    });
    await done.promise;
    expect(waits).toEqual([1000, 2000]);
    await informer.close();
  });

  test('begins with short waits again after a watch that has lasted', async () => {
    let tries = 0;
    const done = Promise.withResolvers<void>();
    const { informer, waits, time } = follow(async function* (signal) {
      tries += 1;
      if (tries <= 2 || tries === 4) throw away();
      if (tries === 5) done.resolve();
      yield [];
      time.now += 300_000;
      if (tries === 5) yield* silence(signal);
    });
    await done.promise;
    expect(waits).toEqual([1000, 2000, 1000]);
    await informer.close();
  });

  test('takes a watch without event or bookmark for three minutes as hung, and opens another', async () => {
    const { informer, client } = follow(silence);
    await vi.advanceTimersByTimeAsync(179_999);
    expect(client.watch).toHaveBeenCalledTimes(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(client.watch).toHaveBeenCalledTimes(2);
    expect(informer.failure).toMatch(/^watch namespaces: neither event nor bookmark for 180 s$/);
    expect(client.list).toHaveBeenCalledTimes(1);
    await informer.close();
  });

  test('does not take a quiet watch with a bookmark a minute for a hung one', async () => {
    const { informer, client } = follow(async function* (signal) {
      while (!signal.aborted) {
        await new Promise((resolve) => setTimeout(resolve, 60_000));
        yield [bookmark];
      }
    });
    await vi.advanceTimersByTimeAsync(3_600_000);
    expect(client.watch).toHaveBeenCalledTimes(1);
    expect(informer.failure).toBeUndefined();
    const closing = informer.close();
    await vi.advanceTimersByTimeAsync(60_000);
    await closing;
  });

  test('doubts its version when three watches in a row fail, and lists anew', async () => {
    let tries = 0;
    const done = Promise.withResolvers<void>();
    const { informer, client } = follow(async function* (signal) {
      tries += 1;
      if (tries <= 3) throw away();
      done.resolve();
      yield* silence(signal);
    });
    await done.promise;
    expect(client.list).toHaveBeenCalledTimes(2);
    expect(vi.mocked(client.list).mock.calls.map(([, { freshness }]) => freshness)).toEqual(['any', 'newest']);
    await informer.close();
  });

  test('leaves the server alone for as long as it asks, a minute at most', async () => {
    const failures = [5_000, 3_600_000];
    const done = Promise.withResolvers<void>();
    const { informer, waits } = follow(async function* (signal) {
      const retryAfterMs = failures.shift();
      if (retryAfterMs !== undefined) throw new KubernetesError('rate-limited', 'busy', { retryAfterMs });
      done.resolve();
      yield* silence(signal);
    });
    await done.promise;
    expect(waits).toEqual([5_000, 60_000]);
    await informer.close();
  });

  test('ends when it is closed, in a list as in a watch', async () => {
    const { informer } = follow(silence, async (_resource, { signal }) => {
      for await (const _ of silence(signal));
      throw away();
    });
    await informer.close();
    expect(informer.failure).toBeUndefined();
  });
});
