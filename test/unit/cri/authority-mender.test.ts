import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AuthorityMender } from '../../../src/cri/authority-mender.ts';
import { frame, frameFlags, frameTypes, literal, preface } from '../../harness/http2-frames.ts';

const { data, headers, continuation, settings } = frameTypes;
const { endHeaders, endStream, padded, priority } = frameFlags;

/** Cuts the bytes at the places, hands them over one by one, and gives what came out. */
function pushed(bytes: Buffer, cuts: readonly number[]): Buffer {
  const mender = new AuthorityMender();
  const borders = [...cuts.map((cut) => cut % (bytes.length + 1)), 0, bytes.length].sort((a, b) => a - b);
  const out: Buffer[] = [];
  borders.forEach((border, index) => {
    const chunk = Buffer.from(bytes.subarray(borders[index - 1] ?? 0, border));
    if (chunk.length > 0) out.push(...mender.push(chunk));
  });
  return Buffer.concat(out);
}

interface Shape {
  readonly coding: 'plain' | 'huffman';
  readonly padding: number | undefined;
  readonly withPriority: boolean;
  readonly fragments: readonly number[];
  readonly body: Uint8Array;
}

/** A client's whole connection, with that authority in each request. */
function connection(shapes: readonly Shape[], authority: string): Buffer {
  const frames = shapes.flatMap((shape, index) => {
    const stream = 2 * index + 1;
    const block = Buffer.concat([
      literal(4, '/a/b'),
      literal(1, authority, 'indexed', shape.coding),
      literal('x', '/'),
    ]);
    const borders = shape.fragments.map((cut) => cut % (block.length + 1)).sort((a, b) => a - b);
    const parts = [...borders, block.length].map((end, at) => block.subarray(borders[at - 1] ?? 0, end));
    const [first = Buffer.alloc(0), ...rest] = parts;
    const payload = Buffer.concat([
      ...(shape.padding === undefined ? [] : [Buffer.from([shape.padding])]),
      ...(shape.withPriority ? [Buffer.from([0, 0, 0, 0, 16])] : []),
      first,
      Buffer.alloc(shape.padding ?? 0),
    ]);
    const flags = (shape.padding === undefined ? 0 : padded) | (shape.withPriority ? priority : 0);
    return [
      frame(headers, flags | (rest.length === 0 ? endHeaders : 0), stream, payload),
      ...rest.map((part, at) => frame(continuation, at === rest.length - 1 ? endHeaders : 0, stream, part)),
      frame(data, endStream, stream, Buffer.from(shape.body)),
    ];
  });
  return Buffer.concat([preface, frame(settings, 0, 0, Buffer.alloc(0)), ...frames]);
}

const shape: fc.Arbitrary<Shape> = fc.record({
  coding: fc.constantFrom('plain' as const, 'huffman' as const),
  padding: fc.option(fc.nat(255), { nil: undefined }),
  withPriority: fc.boolean(),
  fragments: fc.array(fc.nat(), { maxLength: 4 }),
  body: fc.uint8Array({ maxLength: 100 }),
});

describe("an old client's connection", () => {
  test('is mended in every request, wherever frames, header blocks and chunks are cut', () => {
    fc.assert(
      fc.property(fc.array(shape, { maxLength: 4 }), fc.array(fc.nat(), { maxLength: 12 }), (shapes, cuts) => {
        const out = pushed(connection(shapes, '/run/shoal/shoal.sock'), cuts);
        expect(out).toEqual(connection(shapes, '-run-shoal-shoal.sock'));
      }),
    );
  });

  test('gets on with one byte at a time', () => {
    const shapes: Shape[] = [
      { coding: 'huffman', padding: 3, withPriority: true, fragments: [2, 9], body: Buffer.from('body') },
    ];
    const bytes = connection(shapes, '/s');
    expect(pushed(bytes, [...bytes.keys()])).toEqual(connection(shapes, '-s'));
  });
});

test("a new client's connection passes unchanged", () => {
  fc.assert(
    fc.property(fc.array(shape, { maxLength: 4 }), fc.array(fc.nat(), { maxLength: 12 }), (shapes, cuts) => {
      const bytes = connection(shapes, 'localhost');
      expect(pushed(bytes, cuts)).toEqual(bytes);
    }),
  );
});

test('what is no HTTP/2 passes unchanged in length', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 500 }), fc.array(fc.nat(), { maxLength: 5 }), (bytes, cuts) => {
      const mender = new AuthorityMender();
      const whole = Buffer.concat([preface, bytes]);
      const out = [mender.push(Buffer.from(whole)), mender.push(Buffer.alloc(0))].flat();
      expect(Buffer.concat(out).length).toBeLessThanOrEqual(whole.length);
      expect(pushed(whole, cuts).length).toBeLessThanOrEqual(whole.length);
    }),
  );
});

test("a DATA frame's payload is passed on without a copy", () => {
  const mender = new AuthorityMender();
  const payload = Buffer.alloc(100_000, 7);
  mender.push(Buffer.from(preface));
  const chunk = frame(data, 0, 1, payload);
  const [out] = mender.push(chunk);
  expect(out?.buffer).toBe(chunk.buffer);
});

test('a header block beyond every limit is passed on instead of being held', () => {
  const mender = new AuthorityMender();
  const first = frame(headers, 0, 1, Buffer.alloc(16_384));
  const more = frame(continuation, 0, 1, Buffer.alloc(16_384));
  const sent = [Buffer.from(preface), first, ...Array.from({ length: 12 }, () => Buffer.from(more))];
  const total = Buffer.concat(sent).length;
  const out = sent.flatMap((chunk) => mender.push(chunk));
  expect(Buffer.concat(out).length).toBe(total);
});
