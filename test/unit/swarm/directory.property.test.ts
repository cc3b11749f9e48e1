import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Failure } from '../../../src/swarm/messages.ts';
import { Shard } from './shard.ts';

const agents = 6;
const pieces = 3;
const zones = ['x', 'y'];

type PieceStep = { readonly agent: number; readonly piece: number } & (
  | { readonly kind: 'want'; readonly lease: boolean; readonly urgent: boolean }
  | { readonly kind: 'have'; readonly crc32c: number; readonly verified: boolean }
  | { readonly kind: 'gone' | 'cancel' | 'progress' }
  | { readonly kind: 'failed'; readonly peer: number; readonly failure: Failure }
);

type AgentStep =
  | { readonly kind: 'join'; readonly agent: number }
  | { readonly kind: 'leave'; readonly agent: number }
  | { readonly kind: 'spoiled'; readonly agent: number }
  | PieceStep;

type Step =
  | AgentStep
  | { readonly kind: 'advance'; readonly milliseconds: number }
  | { readonly kind: 'membership'; readonly shards: number };

const agent = fc.nat(agents - 1);
const piece = fc.nat(pieces - 1);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant('join'), agent }),
  fc.record({ kind: fc.constant('join'), agent }),
  fc.record({ kind: fc.constant('leave'), agent }),
  fc.record({ kind: fc.constant('spoiled'), agent }),
  fc.record({ kind: fc.constant('want'), agent, piece, lease: fc.boolean(), urgent: fc.boolean() }),
  fc.record({ kind: fc.constant('want'), agent, piece, lease: fc.boolean(), urgent: fc.boolean() }),
  fc.record({ kind: fc.constant('have'), agent, piece, crc32c: fc.constantFrom(7, 7, 7, 8), verified: fc.boolean() }),
  fc.record({ kind: fc.constantFrom('gone', 'cancel', 'progress'), agent, piece }),
  fc.record({
    kind: fc.constant('failed'),
    agent,
    piece,
    peer: agent,
    failure: fc.constantFrom<Failure>('absent', 'unreachable', 'corrupt'),
  }),
  fc.record({ kind: fc.constant('advance'), milliseconds: fc.integer({ min: 1, max: 20_000 }) }),
  fc.record({ kind: fc.constant('membership'), shards: fc.integer({ min: 1, max: 64 }) }),
);

/** What an observer outside knows: who is joined, who said that it has what, and which grants were sent out. */
class Observer {
  readonly shard = new Shard({ settleTime: 500 });
  readonly joined = new Set<string>();
  readonly holds = new Set<string>();
  readonly distrusts = new Map<string, number>();
  /** Grants in force: `agent/piece` to what was granted, and until when. */
  readonly grants = new Map<string, { readonly kind: 'take' | 'lease' | 'crossing'; until: number }>();

  apply(step: Step): void {
    const { shard } = this;
    if (step.kind === 'advance') {
      shard.advance(step.milliseconds);
      for (const [key, grant] of this.grants) if (grant.until <= shard.now) this.grants.delete(key);
    } else if (step.kind === 'membership') shard.directory.membershipChanged(step.shards);
    else this.#applyOf(`n${step.agent}`, step);
    this.#check();
  }

  #applyOf(id: string, step: AgentStep): void {
    const { shard } = this;
    if (step.kind === 'join') {
      this.#forget(id);
      this.joined.add(id);
      shard.join(id, { zone: zoneOf(id) });
    } else if (step.kind === 'leave') {
      this.#forget(id);
      shard.leave(id);
    } else if (!this.joined.has(id)) {
      return;
    } else if (step.kind === 'spoiled') {
      for (let index = 0; index < pieces; index += 1) this.holds.delete(`${id}/${index}`);
      shard.say(id, { kind: 'spoiled', blob: blobOf() });
    } else {
      this.#applyTo(id, step);
    }
  }

  #applyTo(id: string, step: PieceStep): void {
    const { shard } = this;
    const key = `${id}/${step.piece}`;
    if (step.kind === 'want') {
      if (!this.grants.has(key)) this.holds.delete(key);
      shard.want(id, step.piece, step);
    } else if (step.kind === 'have') {
      this.grants.delete(key);
      this.holds.add(key);
      shard.have(id, step.piece, step.crc32c, step.verified);
    } else if (step.kind === 'failed') {
      const peer = `n${step.peer}`;
      if (step.failure === 'absent') this.holds.delete(`${peer}/${step.piece}`);
      else if (this.joined.has(peer)) {
        this.distrusts.set(`${id}/${peer}`, shard.now + (step.failure === 'corrupt' ? 600_000 : 30_000));
      }
      shard.say(id, { kind: 'failed', blob: blobOf(), piece: step.piece, peer, failure: step.failure });
    } else {
      if (step.kind === 'gone') this.holds.delete(key);
      if (step.kind === 'cancel') this.grants.delete(key);
      const grant = this.grants.get(key);
      // A prolongation that gains less than a quarter is skipped.
      if (step.kind === 'progress' && grant !== undefined && shard.now + 15_000 - grant.until >= 3_750) {
        grant.until = shard.now + 15_000;
      }
      shard.say(id, { kind: step.kind, blob: blobOf(), piece: step.piece });
    }
  }

  #forget(id: string): void {
    this.joined.delete(id);
    for (const key of this.holds) if (key.startsWith(`${id}/`)) this.holds.delete(key);
    for (const key of this.grants.keys()) if (key.startsWith(`${id}/`)) this.grants.delete(key);
    for (const key of this.distrusts.keys()) if (key.split('/').includes(id)) this.distrusts.delete(key);
  }

  #check(): void {
    for (const { to, message } of this.shard.sent.splice(0)) {
      expect(this.joined.has(to), `${to} is joined`).toBe(true);
      if (message.kind === 'alone') continue;
      const key = `${to}/${message.piece}`;
      if (message.kind === 'lease') {
        this.grants.set(key, { kind: 'lease', until: this.shard.now + 15_000 });
        continue;
      }
      expect(message.peers.length).toBeGreaterThan(0);
      expect(message.peers.length).toBeLessThanOrEqual(4);
      let far = false;
      for (const { id } of message.peers) {
        expect(id, 'nobody is sent to itself').not.toBe(to);
        expect(this.joined.has(id), `${id} is joined`).toBe(true);
        expect(this.holds.has(`${id}/${message.piece}`), `${id} says that it has the piece`).toBe(true);
        expect(this.distrusts.get(`${to}/${id}`) ?? 0, `${to} has not reported ${id}`).toBeLessThanOrEqual(
          this.shard.now,
        );
        far ||= zoneOf(id) !== zoneOf(to);
      }
      this.grants.set(key, { kind: far ? 'crossing' : 'take', until: this.shard.now + 15_000 });
    }
    this.#checkExclusive();
  }

  #checkExclusive(): void {
    for (let index = 0; index < pieces; index += 1) {
      const of = [...this.grants].filter(([key]) => key.endsWith(`/${index}`));
      expect(of.filter(([, { kind }]) => kind === 'lease').length, 'one lease for a piece').toBeLessThanOrEqual(1);
      for (const zone of zones) {
        const crossings = of.filter(
          ([key, { kind }]) => kind === 'crossing' && zoneOf(key.split('/')[0] ?? '') === zone,
        );
        expect(crossings.length, 'one crossing for a piece and zone').toBeLessThanOrEqual(1);
      }
    }
  }
}

function zoneOf(id: string): string {
  return zones[Number(id.slice(1)) % zones.length] ?? '';
}

function blobOf(): string {
  return `sha256:${'a'.repeat(64)}`;
}

describe('whatever agents say, in whatever order', () => {
  test('no piece has two leases, no zone two crossings, and nobody is sent where it can get nothing', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 150 }), (steps) => {
        const observer = new Observer();
        for (const each of steps) observer.apply(each);
      }),
      { numRuns: 300 },
    );
  });

  test('everyone who keeps wanting gets the piece in the end, if all then behave', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), fc.integer({ min: 1, max: 64 }), (steps, shards) => {
        const observer = new Observer();
        for (const each of steps) observer.apply(each);
        const { shard } = observer;
        // Distrust and the grace after a purge are over; grants of those who fell silent have lapsed.
        observer.apply({ kind: 'advance', milliseconds: 600_000 });
        observer.apply({ kind: 'membership', shards });
        for (let ordinal = 0; ordinal < agents; ordinal += 1) observer.apply({ kind: 'join', agent: ordinal });
        for (let ordinal = 0; ordinal < agents; ordinal += 1) {
          for (let index = 0; index < pieces; index += 1) shard.want(`n${ordinal}`, index);
        }
        const served = new Set<string>();
        for (let round = 0; round < agents * pieces * 2; round += 1) {
          for (const { to, message } of shard.sent.splice(0)) {
            served.add(`${to}/${message.piece}`);
            shard.have(to, message.piece);
          }
          shard.advance(500);
        }
        expect(served.size).toBe(agents * pieces);
      }),
      { numRuns: 200 },
    );
  });

  test('once all have left, nothing is remembered', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 150 }), (steps) => {
        const observer = new Observer();
        for (const each of steps) observer.apply(each);
        for (let ordinal = 0; ordinal < agents; ordinal += 1) observer.apply({ kind: 'leave', agent: ordinal });
        expect(observer.shard.directory.stat).toMatchObject({ agents: 0, blobs: 0, pieces: 0 });
      }),
    );
  });
});
