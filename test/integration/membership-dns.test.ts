import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Clock, systemClock } from '../../src/clock.ts';
import { DnsSource } from '../../src/swarm/membership/dns.ts';
import type { DnsName } from '../../src/swarm/membership/dns-lookup.ts';
import { createNodeResolver } from '../../src/swarm/membership/dns-resolver.ts';
import { startMembership } from '../../src/swarm/membership/membership.ts';
import type { Membership } from '../../src/swarm/membership/types.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { type DnsRecord, type DnsServer, startDnsServer } from '../harness/dns-server.ts';
import { Scope } from '../harness/scope.ts';

const logger = createLogger({ name: 'test', level: 'silent' });
const agents: DnsName = { kind: 'addresses', host: 'agents.example', port: 65001, role: 'agent' };
const mirrors: DnsName = { kind: 'service', name: '_p2p._tcp.mirrors.example', role: 'mirror' };

let scope: Scope;
let dns: DnsServer;
beforeEach(async () => {
  scope = new Scope();
  dns = await startDnsServer(scope);
});
afterEach(() => scope.close());

const a = (address: string, ttl = 30): DnsRecord => ({ type: 'A', address, ttl });

/** Membership from the server; `poll` ends the waits for records to age, and resolves when all names were asked again. */
function follow(...names: DnsName[]): { membership: Membership; waits: number[]; poll: () => Promise<void> } {
  const waits: number[] = [];
  let waiting: (() => void)[] = [];
  let asked = Promise.withResolvers<void>();
  const clock: Clock = {
    ...systemClock,
    sleep: async (milliseconds, signal) => {
      waits.push(milliseconds);
      const wait = Promise.withResolvers<void>();
      signal?.addEventListener('abort', () => wait.reject(signal.reason));
      waiting.push(wait.resolve);
      if (waiting.length === names.length) asked.resolve();
      await wait.promise;
    },
    random: () => 0,
  };
  const resolver = createNodeResolver({ servers: [dns.address], timeoutMs: 100 });
  const source = new DnsSource({ names, resolver, logger, clock });
  const membership = startMembership({ source, self: 'self', probe: async () => {}, probeTimeoutMs: 1_000, logger });
  scope.defer(() => membership.close());
  const poll = async () => {
    await asked.promise;
    const ended = waiting;
    waiting = [];
    asked = Promise.withResolvers();
    for (const end of ended) end();
    await asked.promise;
  };
  return { membership, waits, poll };
}

const seen = (membership: Membership) =>
  membership.members().map(({ id, address, role }) => `${role} ${id} ${address}`);

describe('members from a DNS server', () => {
  test('are its addresses and the targets of its services, and are asked for when their time is up', async () => {
    dns.records.set('agents.example', [a('192.0.2.1', 40), a('192.0.2.2', 20)]);
    dns.records.set('_p2p._tcp.mirrors.example', [{ type: 'SRV', target: 'm1.example', port: 7000, ttl: 60 }]);
    dns.records.set('m1.example', [{ type: 'AAAA', address: 'fd00::1', ttl: 50 }]);
    const { membership, waits, poll } = follow(agents, mirrors);
    await membership.firstAnswer;
    expect(seen(membership)).toEqual([
      'agent 192.0.2.1:65001 192.0.2.1:65001',
      'agent 192.0.2.2:65001 192.0.2.2:65001',
      'mirror m1.example:7000 [fd00::1]:7000',
    ]);
    dns.records.set('agents.example', [a('192.0.2.2')]);
    await poll();
    expect(seen(membership)).toEqual([
      'agent 192.0.2.2:65001 192.0.2.2:65001',
      'mirror m1.example:7000 [fd00::1]:7000',
    ]);
    expect(waits.slice(0, 2).sort()).toEqual([20_000, 50_000]);
  });

  test.each(['servfail', 'refused', 'silent', 'garbage'] as const)(
    'stay as they were while it is %s',
    async (trouble) => {
      dns.records.set('agents.example', [a('192.0.2.1')]);
      const { membership, poll } = follow(agents);
      await membership.firstAnswer;
      dns.troubles.set('agents.example', trouble);
      await poll();
      expect(seen(membership)).toEqual(['agent 192.0.2.1:65001 192.0.2.1:65001']);
      expect(membership.failure()).toMatch(/agents\.example/);
      dns.troubles.clear();
      dns.records.set('agents.example', [a('192.0.2.7')]);
      await poll();
      expect(seen(membership)).toEqual(['agent 192.0.2.7:65001 192.0.2.7:65001']);
      expect(membership.failure()).toBeUndefined();
    },
  );

  test('stay as they were when the name or its records are gone', async () => {
    dns.records.set('agents.example', [a('192.0.2.1')]);
    const { membership, poll } = follow(agents);
    await membership.firstAnswer;
    dns.records.delete('agents.example');
    await poll();
    dns.records.set('agents.example', []);
    await poll();
    expect(seen(membership)).toEqual(['agent 192.0.2.1:65001 192.0.2.1:65001']);
    expect(membership.failure()).toBe('DNS name agents.example has no records');
  });

  test('may be hundreds: an answer too large for UDP is fetched over TCP', async () => {
    const many = Array.from({ length: 500 }, (_, at) => a(`192.0.${at >> 8}.${at & 255}`));
    dns.records.set('agents.example', many);
    const { membership } = follow(agents);
    await membership.firstAnswer;
    expect(membership.members().length).toBe(500);
    expect(dns.questions).toContain('agents.example 1 tcp');
  });

  test('are still to come, and closing does not wait for them, while the server is silent', async () => {
    dns.troubles.set('agents.example', 'silent');
    const { membership } = follow(agents);
    expect(membership.members()).toEqual([]);
    await membership.close();
  });
});
