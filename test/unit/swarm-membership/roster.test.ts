import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatAddress, parseAddress } from '../../../src/config/address.ts';
import { mostMembers } from '../../../src/config/membership.ts';
import { toRoster } from '../../../src/swarm/membership/roster.ts';

describe('an address', () => {
  test.each([
    ['192.0.2.1:65001', { host: '192.0.2.1', port: 65001 }],
    ['[fd00::1]:1', { host: 'fd00::1', port: 1 }],
    ['node-1.example.com:65535', { host: 'node-1.example.com', port: 65535 }],
    ['node_1:80', { host: 'node_1', port: 80 }],
  ])('%s is a host and a port', (text, expected) => {
    expect(parseAddress(text)).toEqual(expected);
    expect(formatAddress(expected.host, expected.port)).toBe(text);
  });

  test.each([
    '',
    'host',
    ':1',
    'host:',
    'host:0',
    'host:65536',
    'host:1:2',
    'fd00::1:80',
    '[host]:1',
    '[fd00::1]',
    'a b:1',
    '-a:1',
    'a..b:1',
    'host:+1',
    'host:1e3',
  ])('%j is none', (text) => {
    expect(parseAddress(text)).toBeUndefined();
  });

  test('that was formatted is read as it was, whatever the address', () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), fc.domain()), fc.integer({ min: 1, max: 65_535 }), (host, port) => {
        expect(parseAddress(formatAddress(host, port))).toEqual({ host, port });
      }),
    );
  });
});

describe('a roster', () => {
  test('is bounded, and every node leaves out the same members', () => {
    const members = Array.from({ length: mostMembers + 3 }, (_, at) => ({
      id: `n${String(at).padStart(6, '0')}`,
      address: 'a:1',
      zone: '',
      role: 'agent' as const,
    }));
    const roster = toRoster(members);
    expect(roster.length).toBe(mostMembers);
    expect(toRoster(members.toReversed())).toEqual(roster);
  });
});
