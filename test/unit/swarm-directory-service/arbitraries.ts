import fc from 'fast-check';
import type { AgentMessage, Hello, ShardMessage } from '../../../src/swarm/messages.ts';

/** Everything that the bounds of proto/swarm.proto allow. */

const hex = (digits: number) =>
  fc.array(fc.constantFrom(...'0123456789abcdef'), { minLength: digits, maxLength: digits }).map((all) => all.join(''));
export const digest = fc.oneof(
  hex(64).map((digits) => `sha256:${digits}`),
  hex(128).map((digits) => `sha512:${digits}`),
);
const visible = (maxLength: number) =>
  fc
    .array(fc.integer({ min: 0x21, max: 0x7e }), { minLength: 1, maxLength })
    .map((codes) => String.fromCharCode(...codes));
const label = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?$/);
const address = fc.oneof(
  fc.tuple(label, fc.integer({ min: 1, max: 65_535 })).map(([host, port]) => `${host}:${port}`),
  fc.tuple(fc.ipV6(), fc.integer({ min: 1, max: 65_535 })).map(([host, port]) => `[${host}]:${port}`),
);
const key = { blob: digest, piece: fc.nat(2 ** 20 - 1) };
const crc32c = fc.nat(2 ** 32 - 1);

export const hello: fc.Arbitrary<Hello> = fc.record({
  id: visible(255),
  address,
  zone: fc.oneof(fc.constant(''), label),
  role: fc.constantFrom('agent', 'mirror'),
  slots: fc.integer({ min: 1, max: 4096 }),
  leases: fc.nat(4096),
  pace: fc.nat(63),
});

/** Ids of zeros alone are none. */
const id = (digits: number) => hex(digits).filter((all) => !/^0+$/.test(all));
const traceparent = fc.tuple(id(32), id(16)).map(([trace, span]) => `00-${trace}-${span}-01`);

export const agentMessage: fc.Arbitrary<AgentMessage> = fc.oneof(
  fc.record(
    {
      kind: fc.constant('want' as const),
      ...key,
      lease: fc.boolean(),
      urgent: fc.boolean(),
      source: visible(512),
      trace: traceparent,
    },
    { requiredKeys: ['kind', 'blob', 'piece', 'lease', 'urgent', 'source'] },
  ),
  fc.record({ kind: fc.constant('have' as const), ...key, crc32c, verified: fc.boolean() }),
  fc.record({ kind: fc.constant('gone' as const), ...key }),
  fc.record({
    kind: fc.constant('failed' as const),
    ...key,
    peer: visible(255),
    failure: fc.constantFrom('absent' as const, 'unreachable' as const, 'corrupt' as const),
  }),
  fc.record({ kind: fc.constant('progress' as const), ...key }),
  fc.record({ kind: fc.constant('cancel' as const), ...key }),
  fc.record({ kind: fc.constant('spoiled' as const), blob: digest }),
);

export const shardMessage: fc.Arbitrary<ShardMessage> = fc.oneof(
  fc.record({
    kind: fc.constant('take' as const),
    ...key,
    crc32c,
    peers: fc.array(fc.record({ id: visible(255), address }), { minLength: 1, maxLength: 4 }),
  }),
  fc.record(
    { kind: fc.constant('lease' as const), ...key, source: visible(512), trace: traceparent },
    { requiredKeys: ['kind', 'blob', 'piece', 'source'] },
  ),
  fc.record({ kind: fc.constant('alone' as const), ...key }),
);
