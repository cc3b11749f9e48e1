import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isWithinBounds } from '../../../src/swarm/directory-service/bounds.ts';
import {
  decodeAgentFrame,
  decodeShardFrame,
  encodeAgentFrame,
  encodedSize,
  encodeShardFrame,
  largestHello,
} from '../../../src/swarm/directory-service/codec.ts';
import { FrameError } from '../../../src/swarm/directory-service/framing.ts';
import type { AgentMessage, ShardMessage } from '../../../src/swarm/messages.ts';
import { helloOf } from '../../harness/hello.ts';
import { field } from '../../harness/protobuf.ts';
import { agentMessage, hello, shardMessage } from './arbitraries.ts';

const blob = `sha256:${'0f'.repeat(32)}`;
const someHello = helloOf('node-1', { zone: 'a' });
const want = { kind: 'want', blob, piece: 0, lease: true, urgent: false, source: 'registry/app' } as const;

describe('a frame', () => {
  test('of an agent comes out as it went in', () => {
    fc.assert(
      fc.property(
        fc.option(hello, { nil: undefined }),
        fc.array(agentMessage, { maxLength: 20 }),
        (greeting, messages) => {
          const frame = { ...(greeting !== undefined && { hello: greeting }), messages };
          expect(decodeAgentFrame(encodeAgentFrame(frame))).toEqual(frame);
          expect(messages.every(isWithinBounds)).toBe(true);
        },
      ),
    );
  });

  test('of a shard comes out as it went in', () => {
    fc.assert(
      fc.property(
        fc.array(shardMessage, { maxLength: 20 }),
        fc.constantFrom({}, { standing: 'decides' as const }, { standing: 'resigned' as const }),
        (messages, standing) => {
          expect(decodeShardFrame(encodeShardFrame({ messages, ...standing }))).toEqual({ messages, ...standing });
        },
      ),
    );
  });

  test('takes no more bytes than are counted for its messages', () => {
    fc.assert(
      fc.property(hello, fc.array(agentMessage, { maxLength: 5 }), (greeting, messages) => {
        const counted = messages.reduce((sum, message) => sum + encodedSize(message), largestHello);
        expect(encodeAgentFrame({ hello: greeting, messages }).length).toBeLessThanOrEqual(counted);
      }),
    );
    fc.assert(
      fc.property(shardMessage, (message) => {
        expect(encodeShardFrame({ messages: [message] }).length).toBeLessThanOrEqual(encodedSize(message));
      }),
    );
  });

  test('of any bytes at all is read or refused, and nothing else happens', () => {
    const readOrRefused = (read: () => unknown): boolean => {
      try {
        read();
        return true;
      } catch (error) {
        return error instanceof FrameError;
      }
    };
    const mutated = fc
      .tuple(
        fc.array(agentMessage, { minLength: 1, maxLength: 4 }),
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }),
      )
      .map(([messages, changes]) => {
        const bytes = encodeAgentFrame({ messages });
        for (const [at, value] of changes) bytes[at % bytes.length] = value;
        return bytes;
      });
    const bytes = fc.uint8Array({ maxLength: 300 }).map((all) => Buffer.from(all));
    fc.assert(
      fc.property(fc.oneof(bytes, mutated), (frame) => {
        expect(readOrRefused(() => decodeAgentFrame(frame))).toBe(true);
        expect(readOrRefused(() => decodeShardFrame(frame))).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });
});

const wrongAgentMessages: readonly [string, AgentMessage, RegExp][] = [
  ['no digest', { ...want, blob: 'app:latest' }, /blob is not the digest/],
  ['a digest in capitals', { ...want, blob: blob.toUpperCase() }, /blob is not the digest/],
  ['a digest of half the length', { ...want, blob: blob.slice(0, 40) }, /blob is not the digest/],
  ['a path in place of the digest', { ...want, blob: 'sha256:../../etc/passwd' }, /blob is not the digest/],
  ['an index beyond every blob', { ...want, piece: 2 ** 20 }, /piece is not an index of at most 1048575/],
  ['no source', { ...want, source: '' }, /source is not 1 to 512/],
  ['too long a source', { ...want, source: 'a'.repeat(513) }, /source is not 1 to 512/],
  ['a source with a line break', { ...want, source: 'a\nb' }, /source is not 1 to 512/],
  ['a source beyond ASCII', { ...want, source: 'régistry/app' }, /source is not 1 to 512/],
  ['no peer', { kind: 'failed', blob, piece: 0, peer: '', failure: 'absent' }, /peer is not 1 to 255/],
  ['too long a peer', { kind: 'failed', blob, piece: 0, peer: 'p'.repeat(256), failure: 'absent' }, /peer is not/],
];

describe('an agent is refused for', () => {
  test.each(wrongAgentMessages)('%s', (_what, message, reason) => {
    if (message.kind === 'want') expect(isWithinBounds(message)).toBe(false);
    expect(() => decodeAgentFrame(encodeAgentFrame({ messages: [message] }))).toThrow(reason);
  });

  test.each([
    ['no id', { id: '' }, /id is not 1 to 255/],
    ['too long an id', { id: 'n'.repeat(256) }, /id is not 1 to 255/],
    ['an id with a space', { id: 'node 1' }, /id is not 1 to 255/],
    ['no address', { address: '' }, /address is not host:port/],
    ['an address without a port', { address: '10.0.0.1' }, /address is not host:port/],
    ['too long an address', { address: `${'a'.repeat(300)}:1` }, /address is not host:port/],
    ['too long a zone', { zone: 'z'.repeat(64) }, /zone is not empty/],
    ['a zone that is no label', { zone: 'a b' }, /zone is not empty/],
    ['no slots', { slots: 0 }, /slots is not 1 to 4096/],
    ['too many slots', { slots: 4097 }, /slots is not 1 to 4096/],
    ['too many leases', { leases: 4097 }, /leases is not 0 to 4096/],
    ['a pace of no link', { pace: 64 }, /pace is not 0 to 63/],
  ] as const)('%s', (_what, wrong, reason) => {
    expect(() => decodeAgentFrame(encodeAgentFrame({ hello: { ...someHello, ...wrong }, messages: [] }))).toThrow(
      reason,
    );
  });

  test('more than 512 messages in a frame', () => {
    const messages = Array.from({ length: 513 }, () => ({ kind: 'cancel', blob, piece: 1 }) as const);
    expect(() => decodeAgentFrame(encodeAgentFrame({ messages }))).toThrow(/more than 512 messages/);
    expect(decodeAgentFrame(encodeAgentFrame({ messages: messages.slice(1) })).messages).toHaveLength(512);
  });

  test('a message that is none, or of a kind that nobody knows', () => {
    expect(() => decodeAgentFrame(field(2, ''))).toThrow(/a message of no known kind/);
    expect(() => decodeAgentFrame(field(2, field(15, 'x')))).toThrow(/a message of no known kind/);
  });

  test('values of enums that nobody knows', () => {
    // Failed: failure = 7.
    const failed = Buffer.concat([field(1, blob), field(3, 'node-2'), Buffer.from([4 * 8, 7])]);
    expect(() => decodeAgentFrame(field(2, field(4, failed)))).toThrow(/failure has a value/);
    const greeting = Buffer.concat([field(1, 'node-1'), field(2, '10.0.0.1:1'), Buffer.from([4 * 8, 9])]);
    expect(() => decodeAgentFrame(field(1, greeting))).toThrow(/role has a value/);
  });
});

describe('a shard is refused for', () => {
  const take: ShardMessage = {
    kind: 'take',
    blob,
    piece: 1,
    crc32c: 1,
    peers: [{ id: 'node-2', address: '10.0.0.2:65001' }],
  };
  const [peer] = take.peers;
  test.each([
    ['nobody to take it from', { ...take, peers: [] }, /peers are not 1 to 4/],
    ['five to take it from', { ...take, peers: Array(5).fill(peer) }, /peers are not 1 to 4/],
    ['a peer without an address', { ...take, peers: [{ id: 'node-2', address: '' }] }, /address is not host:port/],
    ['a peer without a name', { ...take, peers: [{ id: '', address: '10.0.0.2:1' }] }, /a peer's id is not/],
    ['a lease of nothing', { kind: 'lease', blob: '', piece: 0, source: 'registry/app' }, /blob is not the digest/],
  ] as [string, ShardMessage, RegExp][])('%s', (_what, message, reason) => {
    expect(() => decodeShardFrame(encodeShardFrame({ messages: [message] }))).toThrow(reason);
  });
});
