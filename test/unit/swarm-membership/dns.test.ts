import { describe, expect, test } from 'vitest';
import type { Clock } from '../../../src/clock.ts';
import { DnsSource, longestPollMs, pollMs, shortestPollMs } from '../../../src/swarm/membership/dns.ts';
import { type DnsName, type DnsResolver, lookUp } from '../../../src/swarm/membership/dns-lookup.ts';
import type { Member } from '../../../src/swarm/membership/types.ts';
import { createLogger } from '../../../src/telemetry/log.ts';

const logger = createLogger({ name: 'test', level: 'silent' });
const agents: DnsName = { kind: 'addresses', host: 'agents.example', port: 65001, role: 'agent' };
const service: DnsName = { kind: 'service', name: '_p2p._tcp.example', role: 'mirror' };

/** What the DNS server says: records by name and family; `fails` says nothing. */
class Zone implements DnsResolver {
  readonly records = new Map<string, string[] | 'fails'>();
  readonly targets = new Map<string, [target: string, port: number][] | 'fails'>();
  ttl = 30;
  cancelled = false;

  async addresses(host: string, family: 4 | 6) {
    return this.#answer(this.records, `${host}/${family}`).map((address) => ({ address, ttl: this.ttl }));
  }

  async services(name: string) {
    return this.#answer(this.targets, name).map(([target, port]) => ({ target, port }));
  }

  cancel(): void {
    this.cancelled = true;
  }

  #answer<T>(from: ReadonlyMap<string, T[] | 'fails'>, key: string): T[] {
    const found = from.get(key) ?? [];
    if (found === 'fails') throw new Error(`SERVFAIL ${key}`);
    return found;
  }
}

describe('a name with addresses', () => {
  test('is one member for each address', async () => {
    const zone = new Zone();
    zone.records.set('agents.example/4', ['192.0.2.1', '192.0.2.2']);
    expect(await lookUp(agents, zone, [])).toEqual({
      ttl: 30,
      members: [
        { id: '192.0.2.1:65001', address: '192.0.2.1:65001', zone: '', role: 'agent' },
        { id: '192.0.2.2:65001', address: '192.0.2.2:65001', zone: '', role: 'agent' },
      ],
    });
  });

  test('of both families counts by IPv4, so that no node is two members; without any by IPv6', async () => {
    const zone = new Zone();
    zone.records.set('agents.example/6', ['fd00::1']);
    expect((await lookUp(agents, zone, [])).members.map(({ id }) => id)).toEqual(['[fd00::1]:65001']);
    zone.records.set('agents.example/4', ['192.0.2.1']);
    expect((await lookUp(agents, zone, [])).members.map(({ id }) => id)).toEqual(['192.0.2.1:65001']);
  });

  test('does not change its family because a question failed', async () => {
    const zone = new Zone();
    zone.records.set('agents.example/4', 'fails').set('agents.example/6', ['fd00::1']);
    await expect(lookUp(agents, zone, [])).rejects.toThrow(/SERVFAIL/);
  });

  test('without any record is a failure, not an empty swarm', async () => {
    await expect(lookUp(agents, new Zone(), [])).rejects.toThrow('DNS name agents.example has no records');
  });
});

describe('a service', () => {
  const target = 'm1.example';

  test('is one member for each target, known by its name and port, whichever address comes first', async () => {
    const zone = new Zone();
    zone.targets.set(service.name, [['M1.example.', 7000]]);
    zone.records.set('M1.example./4', ['192.0.2.9', '192.0.2.1']);
    const expected = [{ id: 'm1.example:7000', address: '192.0.2.1:7000', zone: '', role: 'mirror' }];
    expect((await lookUp(service, zone, [])).members).toEqual(expected);
    zone.records.set('M1.example./4', ['192.0.2.1', '192.0.2.9']);
    expect((await lookUp(service, zone, [])).members).toEqual(expected);
  });

  test('keeps the last address of a target that does not resolve, and asks again soon; a new one waits', async () => {
    const zone = new Zone();
    zone.targets.set(service.name, [
      [target, 7000],
      ['new.example', 7000],
    ]);
    zone.records.set(`${target}/4`, 'fails').set('new.example/4', 'fails');
    const known: Member = { id: 'm1.example:7000', address: '192.0.2.1:7000', zone: '', role: 'mirror' };
    expect(await lookUp(service, zone, [known])).toEqual({ members: [known], ttl: 0 });
  });

  test('that is said not to exist (a target of "."), or whose targets have no address, is a failure', async () => {
    const zone = new Zone();
    zone.targets.set(service.name, [['.', 0]]);
    await expect(lookUp(service, zone, [])).rejects.toThrow('DNS service _p2p._tcp.example has no records');
    zone.targets.set(service.name, [[target, 7000]]);
    await expect(lookUp(service, zone, [])).rejects.toThrow(/has no records/);
  });

  test('may have hundreds of targets', async () => {
    const zone = new Zone();
    const many = Array.from({ length: 300 }, (_, at): [string, number] => [`m${at}.example`, 7000]);
    zone.targets.set(service.name, many);
    for (const [host] of many) zone.records.set(`${host}/4`, ['192.0.2.1']);
    expect((await lookUp(service, zone, [])).members.length).toBe(300);
  });
});

test.each([
  [0, shortestPollMs],
  [30, 30_000],
  [86_400, longestPollMs],
  [Number.POSITIVE_INFINITY, longestPollMs],
])('records that live for %d s are asked for again after %d ms, and up to a tenth more by chance', (ttl, expected) => {
  expect(pollMs(ttl, 0)).toBe(expected);
  expect(pollMs(ttl, 1)).toBeCloseTo(expected * 1.1);
});

/** A source whose waits the test ends. */
function follow(zone: Zone, names: readonly DnsName[]) {
  const updates: string[][] = [];
  const waits: number[] = [];
  let wake: (() => void)[] = [];
  let slept = Promise.withResolvers<void>();
  const clock: Clock = {
    now: () => 0,
    sleep: (milliseconds, signal) => {
      waits.push(milliseconds);
      const sleep = Promise.withResolvers<void>();
      wake.push(sleep.resolve);
      signal?.addEventListener('abort', () => sleep.reject(signal.reason));
      if (wake.length === names.length) slept.resolve();
      return sleep.promise;
    },
    random: () => 1,
  };
  const source = new DnsSource({ names, resolver: zone, logger, clock });
  source.start((members) => updates.push(members.map(({ id }) => id)));
  return {
    source,
    updates,
    waits,
    /** Resolves when every name was asked and waits. */
    asked: () => slept.promise,
    /** Ends all waits. */
    pass: async () => {
      const waiting = wake;
      wake = [];
      slept = Promise.withResolvers();
      for (const resolve of waiting) resolve();
      await slept.promise;
    },
  };
}

describe('members from DNS', () => {
  test('are those of all names, told first when all were asked', async () => {
    const zone = new Zone();
    zone.records.set('agents.example/4', ['192.0.2.1']).set('m1.example/4', ['192.0.2.2']);
    zone.targets.set(service.name, [['m1.example', 7000]]);
    const { source, updates, asked } = follow(zone, [agents, service]);
    await asked();
    expect(updates).toEqual([['192.0.2.1:65001', 'm1.example:7000']]);
    await source.close();
  });

  test('follow the records', async () => {
    const zone = new Zone();
    zone.records.set('agents.example/4', ['192.0.2.1']);
    const { source, updates, asked, pass, waits } = follow(zone, [agents]);
    await asked();
    zone.records.set('agents.example/4', ['192.0.2.2']);
    await pass();
    expect(updates).toEqual([['192.0.2.1:65001'], ['192.0.2.2:65001']]);
    expect(waits).toEqual([33_000, 33_000]);
    await source.close();
    expect(zone.cancelled).toBe(true);
  });

  test('stay as they were while DNS fails or says that there is nobody, asked for after growing waits', async () => {
    const zone = new Zone();
    zone.records.set('agents.example/4', ['192.0.2.1']);
    const { source, updates, asked, pass, waits } = follow(zone, [agents]);
    await asked();
    zone.records.set('agents.example/4', 'fails');
    await pass();
    expect(source.failure()).toMatch(/SERVFAIL/);
    zone.records.set('agents.example/4', []);
    await pass();
    expect(source.failure()).toMatch(/has no records/);
    expect(new Set(updates.map((each) => each.join()))).toEqual(new Set(['192.0.2.1:65001']));
    zone.records.set('agents.example/4', ['192.0.2.2']);
    await pass();
    expect(source.failure()).toBeUndefined();
    expect(updates.at(-1)).toEqual(['192.0.2.2:65001']);
    zone.records.set('agents.example/4', 'fails');
    await pass();
    expect(waits).toEqual([33_000, 1_000, 2_000, 33_000, 1_000]);
    await source.close();
  });

  test('are no empty swarm before the first answer', async () => {
    const { source, updates, asked } = follow(new Zone(), [agents]);
    await asked();
    expect(updates).toEqual([]);
    await source.close();
  });
});
