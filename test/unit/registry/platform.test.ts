import { describe, expect, test } from 'vitest';
import type { IndexEntry, Platform } from '../../../src/registry/manifest.ts';
import { nodePlatform, selectPlatform } from '../../../src/registry/platform.ts';

const parse = (text: string): Platform => {
  const [os = '', architecture = '', variant] = text.split('/');
  return { os, architecture, ...(variant !== undefined && { variant }) };
};

/** Entries named after their platform; `-` has none. */
const indexOf = (...platforms: string[]): IndexEntry[] =>
  platforms.map((text) => ({
    mediaType: 'm',
    digest: text,
    size: 1,
    ...(text !== '-' && { platform: parse(text) }),
  }));

describe("the node's platform picks from an index", () => {
  test.each<[string, string[], string | undefined]>([
    ['linux/amd64', ['linux/arm64', 'linux/amd64'], 'linux/amd64'],
    ['linux/amd64', ['windows/amd64', 'linux/amd64'], 'linux/amd64'],
    ['linux/amd64', ['linux/x86_64'], 'linux/x86_64'],
    ['linux/amd64', ['Linux/AMD64'], 'Linux/AMD64'],
    ['linux/amd64', ['linux/amd64/v3', 'linux/amd64/v1'], 'linux/amd64/v1'],
    ['linux/amd64', ['linux/amd64/v3'], undefined],
    ['linux/amd64/v3', ['linux/amd64', 'linux/amd64/v2', 'linux/amd64/v4'], 'linux/amd64/v2'],
    ['linux/amd64', ['linux/386'], 'linux/386'],
    ['linux/386', ['linux/amd64'], undefined],
    ['linux/arm64', ['linux/arm/v7', 'linux/arm64/v8'], 'linux/arm64/v8'],
    ['linux/arm64', ['linux/aarch64'], 'linux/aarch64'],
    ['linux/arm64', ['linux/arm/v6', 'linux/arm/v7'], 'linux/arm/v7'],
    ['linux/arm64/v9', ['linux/arm64', 'linux/arm64/v9'], 'linux/arm64/v9'],
    ['linux/arm/v7', ['linux/arm/v5', 'linux/arm/v6', 'linux/arm/v8'], 'linux/arm/v6'],
    ['linux/arm/v7', ['linux/arm'], 'linux/arm'],
    ['linux/arm/v6', ['linux/arm/v7'], undefined],
    ['linux/arm/v7', ['linux/armhf'], 'linux/armhf'],
    ['linux/arm/v6', ['linux/armhf', 'linux/armel'], 'linux/armel'],
    ['linux/ppc64le', ['linux/ppc64', 'linux/ppc64le'], 'linux/ppc64le'],
    ['linux/riscv64', ['unknown/unknown', 'linux/riscv64'], 'linux/riscv64'],
    ['linux/amd64', ['unknown/unknown'], undefined],
    ['linux/amd64', ['-', 'linux/amd64'], 'linux/amd64'],
    ['linux/amd64', ['linux/arm64', '-'], '-'],
    ['linux/amd64', [], undefined],
  ])('%s of %j: %s', (node, platforms, expected) => {
    expect(selectPlatform(indexOf(...platforms), parse(node))?.digest).toBe(expected);
  });

  test('and takes the first of equals', () => {
    const [first, second] = [...indexOf('linux/amd64'), ...indexOf('linux/amd64')];
    expect(first && second && selectPlatform([first, second], parse('linux/amd64'))).toBe(first);
  });
});

test.each([
  ['x64', 'LE', undefined, 'linux/amd64'],
  ['arm64', 'LE', undefined, 'linux/arm64'],
  ['arm', 'LE', '6', 'linux/arm/v6'],
  ['arm', 'LE', undefined, 'linux/arm/v7'],
  ['ia32', 'LE', undefined, 'linux/386'],
  ['ppc64', 'LE', undefined, 'linux/ppc64le'],
  ['ppc64', 'BE', undefined, 'linux/ppc64'],
  ['s390x', 'BE', undefined, 'linux/s390x'],
] as const)("Node's %s (%s, ARM version %s) is %s in an image", (architecture, endianness, armVersion, expected) => {
  expect(nodePlatform(architecture, endianness, armVersion)).toEqual(parse(expected));
});
