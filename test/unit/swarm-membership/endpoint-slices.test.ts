import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { KubernetesObject } from '../../../src/kubernetes/types.ts';
import { endpointsOf, mergeEndpoints } from '../../../src/swarm/membership/endpoint-slices.ts';

interface SliceParts {
  readonly addressType?: unknown;
  readonly labels?: unknown;
  readonly ports?: unknown;
  readonly endpoints?: unknown;
}

const ports = [
  { name: 'metrics', port: 9000, protocol: 'TCP' },
  { name: 'p2p', port: 65001, protocol: 'TCP' },
];

function slice(parts: SliceParts): KubernetesObject {
  const { labels = {}, ...rest } = parts;
  const content = { addressType: 'IPv4', ports, endpoints: [], metadata: { name: 's', labels }, ...rest };
  return { namespace: 'shoal', name: 's', resourceVersion: '1', content };
}
const endpoint = (address: string, more: object = {}) => ({
  addresses: [address],
  nodeName: `node-${address}`,
  ...more,
});
const members = (...slices: SliceParts[]) =>
  mergeEndpoints(slices.map((each) => endpointsOf(slice(each), 'p2p') ?? []));
const ids = (parts: SliceParts) => members(parts).map(({ id }) => id);

describe('an endpoint', () => {
  test('is a member with its address, the port of the given name, its zone, and its node as id', () => {
    expect(members({ endpoints: [endpoint('192.0.2.1', { nodeName: 'n1', zone: 'zone-a' })] })).toEqual([
      { id: 'n1', address: '192.0.2.1:65001', zone: 'zone-a', role: 'agent' },
    ]);
  });

  const takesPart: [conditions: object | null | undefined, expected: boolean][] = [
    [undefined, true],
    [null, true],
    [{}, true],
    [{ ready: true }, true],
    [{ ready: null, serving: null, terminating: null }, true],
    [{ ready: false }, false],
    [{ ready: false, serving: true, terminating: false }, true],
    [{ ready: false, serving: true, terminating: true }, false],
    [{ ready: true, serving: true, terminating: true }, false],
    [{ ready: true, serving: false }, false],
    [{ ready: 'yes' }, false],
  ];
  test.each(takesPart)('with the conditions %j takes part: %s', (conditions, expected) => {
    expect(ids({ endpoints: [endpoint('192.0.2.1', { conditions })] }).length).toBe(expected ? 1 : 0);
  });

  test.each([
    ['agent', 'n1'],
    ['mirror', 'pod-1'],
    ['scheduler', 'pod-1'],
  ])('of the component %s has that role and the id %s', (role, id) => {
    const labels = { 'app.kubernetes.io/component': role };
    const endpoints = [endpoint('192.0.2.1', { nodeName: 'n1', targetRef: { kind: 'Pod', name: 'pod-1' } })];
    expect(members({ labels, endpoints })).toMatchObject([{ id, role }]);
  });

  test('without node and pod is known by its address, with either of them by that', () => {
    expect(ids({ endpoints: [{ addresses: ['192.0.2.1'] }] })).toEqual(['192.0.2.1']);
    expect(ids({ endpoints: [{ addresses: ['192.0.2.1'], targetRef: { name: 'pod-1' } }] })).toEqual(['pod-1']);
    const labels = { 'app.kubernetes.io/component': 'mirror' };
    expect(ids({ labels, endpoints: [{ addresses: ['192.0.2.1'], nodeName: 'n1' }] })).toEqual(['n1']);
  });

  test('that is broken is left out, and the others of its slice count', () => {
    const broken = [
      null,
      'x',
      {},
      { addresses: [] },
      { addresses: [7] },
      { addresses: ['fd00::1'] },
      { addresses: ['host'] },
    ];
    expect(ids({ endpoints: [...broken, endpoint('192.0.2.1', { nodeName: 'n1' })] })).toEqual(['n1']);
    expect(ids({ endpoints: [endpoint('192.0.2.1', { nodeName: 'x'.repeat(254) })] })).toEqual(['192.0.2.1']);
  });
});

describe('a slice is none of the swarm', () => {
  const endpoints = [endpoint('192.0.2.1')];
  test.each<[string, SliceParts]>([
    ['with names instead of addresses', { addressType: 'FQDN', endpoints }],
    ['without the port', { ports: [{ name: 'metrics', port: 9000 }], endpoints }],
    ['with the port over UDP', { ports: [{ name: 'p2p', port: 65001, protocol: 'UDP' }], endpoints }],
    ['with a port that is none', { ports: [{ name: 'p2p', port: 70_000 }], endpoints }],
    ['of another component', { labels: { 'app.kubernetes.io/component': 'dashboard' }, endpoints }],
    ['without anything', { addressType: undefined, ports: undefined, endpoints: undefined, labels: null }],
  ])('%s', (_name, parts) => {
    expect(endpointsOf(slice(parts), 'p2p')).toBeUndefined();
  });
});

describe('several slices', () => {
  const four = { endpoints: [endpoint('192.0.2.1', { nodeName: 'n1' }), endpoint('192.0.2.2', { nodeName: 'n2' })] };
  const six = {
    addressType: 'IPv6',
    endpoints: [endpoint('fd00::1', { nodeName: 'n1' }), endpoint('fd00::3', { nodeName: 'n3' })],
  };

  test('of a dual-stack Service make one member of each node, by its IPv4 address if it has one', () => {
    const expected = [
      { id: 'n1', address: '192.0.2.1:65001' },
      { id: 'n2', address: '192.0.2.2:65001' },
      { id: 'n3', address: '[fd00::3]:65001' },
    ];
    expect(members(four, six)).toMatchObject(expected);
    expect(members(six, four).sort((one, other) => (one.id < other.id ? -1 : 1))).toMatchObject(expected);
  });

  test('with the old pod of a node leaving and its new one serving have the new one', () => {
    const old = endpoint('192.0.2.1', {
      nodeName: 'n1',
      conditions: { ready: false, serving: true, terminating: true },
    });
    expect(members({ endpoints: [old] }, { endpoints: [endpoint('192.0.2.9', { nodeName: 'n1' })] })).toMatchObject([
      { id: 'n1', address: '192.0.2.9:65001' },
    ]);
  });

  test('give the same members in whatever order they come', () => {
    const anEndpoint = fc.record({ addresses: fc.tuple(fc.ipV4()), nodeName: fc.constantFrom('n1', 'n2', 'n3') });
    const slices = fc.array(fc.record({ endpoints: fc.array(anEndpoint) }));
    fc.assert(
      fc.property(
        slices.chain((all) => fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length }))),
        ([one, other]) => {
          const sorted = (parts: SliceParts[]) => members(...parts).sort((a, b) => (a.id < b.id ? -1 : 1));
          expect(sorted(one)).toEqual(sorted(other));
        },
      ),
    );
  });

  test('never make anything but members of whatever they hold', () => {
    fc.assert(
      fc.property(
        fc.object({ key: fc.constantFrom('addresses', 'conditions', 'nodeName', 'zone') }),
        fc.jsonValue(),
        (thing, value) => {
          for (const member of members({ endpoints: [thing, value] }, { ports: [thing, value] }, { labels: value })) {
            expect(member.id).not.toBe('');
          }
        },
      ),
    );
  });
});
