import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseChallenges } from '../../../src/registry/challenge.ts';

const plain = (header: string | readonly string[] | undefined) =>
  parseChallenges(header).map(({ scheme, parameters }) => ({ scheme, ...Object.fromEntries(parameters) }));

describe('WWW-Authenticate', () => {
  test.each<[string | string[] | undefined, object[]]>([
    [undefined, []],
    ['', []],
    ['Basic realm="x"', [{ scheme: 'basic', realm: 'x' }]],
    ['BASIC REALM=x', [{ scheme: 'basic', realm: 'x' }]],
    [
      'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"',
      [
        {
          scheme: 'bearer',
          realm: 'https://auth.docker.io/token',
          service: 'registry.docker.io',
          scope: 'repository:a/b:pull,push',
        },
      ],
    ],
    ['Bearer realm="a\\"b\\\\c" , service = "s"', [{ scheme: 'bearer', realm: 'a"b\\c', service: 's' }]],
    [
      'Negotiate, Negotiate abc==, Basic realm="x", Bearer realm="y"',
      [
        { scheme: 'negotiate' },
        { scheme: 'negotiate' },
        { scheme: 'basic', realm: 'x' },
        { scheme: 'bearer', realm: 'y' },
      ],
    ],
    [
      ['Basic realm="x"', 'Bearer realm="y"'],
      [
        { scheme: 'basic', realm: 'x' },
        { scheme: 'bearer', realm: 'y' },
      ],
    ],
    ['Bearer realm="first",realm="second"', [{ scheme: 'bearer', realm: 'first' }]],
    ['Basic realm="x", Bearer realm="never closed', [{ scheme: 'basic', realm: 'x' }, { scheme: 'bearer' }]],
    [', ,Basic realm="x",,', [{ scheme: 'basic', realm: 'x' }]],
  ])('%j is read challenge by challenge', (header, expected) => {
    expect(plain(header)).toEqual(expected);
  });

  test('comes back as it was written', () => {
    const name = fc.stringMatching(/^[a-z][a-z0-9_-]{0,8}$/);
    const value = fc.string({ unit: fc.constantFrom('a', '"', '\\', ' ', ',', '=', ':', '/'), maxLength: 12 });
    const challenge = fc.record({ scheme: name, parameters: fc.dictionary(name, value, { minKeys: 1, maxKeys: 4 }) });
    fc.assert(
      fc.property(fc.array(challenge, { maxLength: 4 }), (challenges) => {
        const header = challenges
          .map(({ scheme, parameters }) => {
            const written = Object.entries(parameters).map(
              ([key, text]) => `${key}="${text.replace(/["\\]/g, '\\$&')}"`,
            );
            return `${scheme} ${written.join(', ')}`;
          })
          .join(', ');
        const expected = challenges.map(({ scheme, parameters }) => ({ scheme, parameters: { ...parameters } }));
        const read = parseChallenges(header).map(({ scheme, parameters }) => ({
          scheme,
          parameters: Object.fromEntries(parameters),
        }));
        expect(read).toEqual(expected);
      }),
    );
  });

  test('of any content is read to a bounded result', () => {
    const unit = fc.constantFrom('a', 'B', '"', '\\', ' ', ',', '=', '\t', '~', '\0', 'é');
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.string({ unit, maxLength: 200 })), (header) => {
        const challenges = parseChallenges(header);
        expect(challenges.length).toBeLessThanOrEqual(8);
        for (const { parameters } of challenges) expect(parameters.size).toBeLessThanOrEqual(32);
      }),
      { numRuns: 300 },
    );
  });

  test.each([
    ['challenges', 'a b=c, '.repeat(100_000)],
    ['parameters', `a ${'b=c,'.repeat(100_000)}`],
    ['an open quote', `Basic realm="${'\\"'.repeat(100_000)}`],
    ['one name', 'a'.repeat(1_000_000)],
    ['spaces', `a${' '.repeat(1_000_000)}=`],
  ])('without end (%s) is cut off', (_, header) => {
    const challenges = parseChallenges(header);
    expect(challenges.length).toBeLessThanOrEqual(8);
    for (const { parameters } of challenges) expect(parameters.size).toBeLessThanOrEqual(32);
  });
});
