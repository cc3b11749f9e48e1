import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { encodeAgentFrame, largestHello } from '../../../src/swarm/directory-service/codec.ts';
import { largestFrame } from '../../../src/swarm/directory-service/framing.ts';
import { Outbox } from '../../../src/swarm/directory-service/outbox.ts';
import type { AgentMessage } from '../../../src/swarm/messages.ts';
import { agentMessage } from './arbitraries.ts';

const blob = `sha256:${'0f'.repeat(32)}`;
const gone = (piece: number): AgentMessage => ({ kind: 'gone', blob, piece });

function openOutbox({ most = 10_000, patienceMs = 10_000, takes = true } = {}) {
  const frames: (readonly AgentMessage[])[] = [];
  const stuck = vi.fn();
  const reader = { takes };
  const outbox = new Outbox<AgentMessage>({
    reserved: largestHello,
    send: (messages) => {
      frames.push(messages);
      return reader.takes;
    },
    most,
    patienceMs,
    stuck,
  });
  return { outbox, frames, reader, stuck };
}

describe('what is said', () => {
  test('in one turn goes in one frame, in its order, at the end of the turn', async () => {
    const { outbox, frames } = openOutbox();
    for (let piece = 0; piece < 10; piece += 1) outbox.push(gone(piece));
    expect(frames).toEqual([]);
    await turn();
    expect(frames).toEqual([Array.from({ length: 10 }, (_, piece) => gone(piece))]);
    outbox.push(gone(10));
    await turn();
    expect(frames[1]).toEqual([gone(10)]);
  });

  test('is cut into frames within the bounds, whatever it is', async () => {
    const flood = fc.array(agentMessage, { minLength: 1, maxLength: 1_500, size: 'max' });
    await fc.assert(
      fc.asyncProperty(flood, async (messages) => {
        const { outbox, frames } = openOutbox();
        for (const message of messages) outbox.push(message);
        await turn();
        expect(frames.flat()).toEqual(messages);
        for (const frame of frames) {
          expect(frame.length).toBeLessThanOrEqual(512);
          expect(encodeAgentFrame({ messages: frame }).length).toBeLessThanOrEqual(largestFrame);
        }
      }),
      { numRuns: 10 },
    );
  });

  test('waits while the other side takes nothing, and goes on in its order', async () => {
    const { outbox, frames, reader, stuck } = openOutbox({ takes: false });
    for (let piece = 0; piece < 1_000; piece += 1) outbox.push(gone(piece));
    await turn();
    outbox.push(gone(1_000));
    await turn();
    expect(frames).toHaveLength(1);
    expect(outbox.waiting).toBe(1_001 - 512);
    reader.takes = true;
    outbox.drained();
    await turn();
    expect(frames.flat()).toEqual(Array.from({ length: 1_001 }, (_, piece) => gone(piece)));
    expect(stuck).not.toHaveBeenCalled();
    outbox.close();
  });

  test('beyond the bound ends it, in a turn of its own', async () => {
    const { outbox, frames, stuck } = openOutbox({ takes: false, most: 3 });
    outbox.push(gone(0));
    await turn();
    for (let piece = 1; piece <= 10; piece += 1) outbox.push(gone(piece));
    expect(stuck).not.toHaveBeenCalled();
    await turn();
    expect(stuck).toHaveBeenCalledTimes(1);
    expect(outbox.waiting).toBe(0);
    outbox.push(gone(11));
    outbox.drained();
    await turn();
    expect(frames).toHaveLength(1);
    expect(stuck).toHaveBeenCalledTimes(1);
  });

  test('is not waited for longer than the patience', async () => {
    const stuck = Promise.withResolvers<void>();
    const outbox = new Outbox<AgentMessage>({
      send: () => false,
      most: 10,
      patienceMs: 20,
      stuck: () => stuck.resolve(),
    });
    outbox.push(gone(0));
    await stuck.promise;
  });

  test('can be nothing: a frame for its own sake', async () => {
    const { outbox, frames } = openOutbox();
    outbox.wake();
    await turn();
    await turn();
    expect(frames).toEqual([[]]);
  });

  test('before it is closed is not sent after it', async () => {
    const { outbox, frames } = openOutbox();
    outbox.push(gone(0));
    outbox.close();
    outbox.wake();
    await turn();
    expect(frames).toEqual([]);
  });
});
