import os from 'node:os';
import type { IndexEntry, Platform } from './manifest.ts';

/** What the images of an index are chosen by on this node, as containerd's default does. */
export function nodePlatform(
  architecture: string = process.arch,
  endianness: 'BE' | 'LE' = os.endianness(),
  armVersion: unknown = (process.config.variables as Readonly<Record<string, unknown>>).arm_version,
): Platform {
  switch (architecture) {
    case 'x64':
      return { os: 'linux', architecture: 'amd64' };
    case 'ia32':
      return { os: 'linux', architecture: '386' };
    case 'arm':
      return { os: 'linux', architecture: 'arm', variant: `v${armVersion ?? 7}` };
    case 'ppc64':
      return { os: 'linux', architecture: endianness === 'LE' ? 'ppc64le' : 'ppc64' };
    default:
      // arm64, riscv64, s390x and loong64 have the same name in Go, whose names the images carry.
      return { os: 'linux', architecture };
  }
}

/**
 * The entry that a node of that platform runs: the first of the best match, else the first that names no platform;
 * undefined when there is none. Newer processors run images for their older variants, as containerd's platform rules have it.
 */
export function selectPlatform(entries: readonly IndexEntry[], node: Platform): IndexEntry | undefined {
  for (const wanted of runnable(normalize(node))) {
    const entry = entries.find(({ platform }) => platform !== undefined && isSame(normalize(platform), wanted));
    if (entry !== undefined) return entry;
  }
  return entries.find(({ platform }) => platform === undefined);
}

/** What the node can run, the best first. */
function runnable(node: Platform): Platform[] {
  const { architecture, variant } = node;
  const level = Number(variant?.slice(1) ?? 0);
  const variantsOf = (name: string, variants: readonly (string | undefined)[]) =>
    variants.map((each) => ({ os: node.os, architecture: name, variant: each }));
  switch (architecture) {
    case 'amd64':
      return [...variantsOf('amd64', [...versions(level, 2), undefined]), ...variantsOf('386', [undefined])];
    case 'arm':
      return variantsOf('arm', versions(level, 5));
    case 'arm64':
      return [...variantsOf('arm64', [...versions(level, 9), undefined]), ...variantsOf('arm', versions(8, 5))];
    default:
      return [node];
  }
}

/** `v<from>` down to `v<to>`. */
function versions(from: number, to: number): string[] {
  const count = Math.max(0, Math.min(from, 16) - to + 1);
  return Array.from({ length: count }, (_, index) => `v${from - index}`);
}

const otherNames: ReadonlyMap<string, string> = new Map([
  ['x86_64', 'amd64'],
  ['x86-64', 'amd64'],
  ['aarch64', 'arm64'],
  ['i386', '386'],
]);

/** One spelling for each platform: Go's names of architectures; a variant where it says more than the architecture. */
function normalize({ os: system, architecture, variant = '' }: Platform): Platform {
  const name = architecture.toLowerCase();
  const level = /^\d$/.test(variant) ? `v${variant}` : variant.toLowerCase();
  const known = { os: system.toLowerCase(), architecture: otherNames.get(name) ?? name };
  if (name === 'armhf') return { ...known, architecture: 'arm', variant: 'v7' };
  if (name === 'armel') return { ...known, architecture: 'arm', variant: 'v6' };
  if (known.architecture === 'arm') return { ...known, variant: level || 'v7' };
  const implied = known.architecture === 'arm64' ? 'v8' : known.architecture === 'amd64' ? 'v1' : '';
  return level === implied || level === '' ? known : { ...known, variant: level };
}

function isSame(left: Platform, right: Platform): boolean {
  return left.os === right.os && left.architecture === right.architecture && left.variant === right.variant;
}
