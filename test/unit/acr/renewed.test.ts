import { describe, expect, test } from 'vitest';
import { AcrError } from '../../../src/acr/errors.ts';
import { Renewed } from '../../../src/acr/renewed.ts';
import { ServerTime } from '../../../src/acr/server-time.ts';
import type { TemporaryKey } from '../../../src/acr/sts.ts';
import { keptLog } from '../../harness/log-lines.ts';

const { signal } = new AbortController();

function renewed(lifetimeSeconds = 3600) {
  const state = { now: 0, fetched: 0, failure: undefined as Error | undefined, gate: Promise.resolve() };
  const kept = keptLog();
  const fetch = async (): Promise<TemporaryKey> => {
    state.fetched += 1;
    const id = `key ${state.fetched}`;
    await state.gate;
    if (state.failure) throw state.failure;
    return { key: { id, secret: 's' }, expiresAt: state.now + lifetimeSeconds * 1000 };
  };
  const keys = new Renewed(fetch, new ServerTime(() => state.now), kept.log);
  return { keys, state, lines: kept.lines, id: async () => (await keys.key(signal)).id };
}

describe('temporary credentials', () => {
  test('are fetched when they are needed, and again five minutes before their end', async () => {
    const { state, id } = renewed();
    expect(state.fetched).toBe(0);
    expect(await id()).toBe('key 1');
    state.now = 3_299_000;
    expect(await id()).toBe('key 1');
    state.now = 3_301_000;
    expect(await id()).toBe('key 2');
  });

  test('are used to their end when there are no new ones', async () => {
    const { state, id, lines } = renewed();
    await id();
    state.failure = new AcrError('unavailable', 'STS is away');
    state.now = 3_599_000;
    expect(await id()).toBe('key 1');
    expect(lines).toEqual([expect.objectContaining({ cause: 'STS is away', secondsLeft: 1 })]);
    state.now = 3_600_000;
    await expect(id()).rejects.toThrow('STS is away');
  });

  test('are fetched once for all who wait', async () => {
    const { state, id } = renewed();
    expect(await Promise.all([id(), id(), id()])).toEqual(['key 1', 'key 1', 'key 1']);
    expect(state.fetched).toBe(1);
  });

  test('are replaced at once when the service calls them expired', async () => {
    const { state, id, keys } = renewed();
    await id();
    keys.expired();
    expect(await id()).toBe('key 2');
    expect(state.fetched).toBe(2);
  });

  test('are not waited for by who gives up, but are there for the others', async () => {
    const { state, keys, id } = renewed();
    const gate = Promise.withResolvers<void>();
    state.gate = gate.promise;
    const giveUp = new AbortController();
    const impatient = keys.key(giveUp.signal);
    const patient = id();
    giveUp.abort(new Error('no time'));
    await expect(impatient).rejects.toThrow('no time');
    gate.resolve();
    expect(await patient).toBe('key 1');
  });
});
