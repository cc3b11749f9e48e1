import { mkdir, symlink, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { run } from './process.ts';
import { programBytes, type SeededBytes, textBytes } from './seeded.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

/** The time of everything in an image. Fixed, so that the same recipe gives the same digests at every build. */
export const created = '2024-01-01T00:00:00Z';

/** What a layer's files add up to, in bytes before compression, by kind of content. */
export interface LayerContent {
  readonly text?: number;
  readonly program?: number;
  /** Content that is compressed already: pictures, archives, models. */
  readonly packed?: number;
}

/** Fills a folder with files of the sizes that images have: text below /usr/share, libraries below /usr/lib, data below /opt. */
export async function writeFiles(
  folder: string,
  seed: SeededBytes,
  layer: number,
  content: LayerContent,
): Promise<void> {
  const kinds = [
    {
      total: content.text ?? 0,
      largest: 64 * KiB,
      bytes: textBytes,
      place: 'usr/share/doc',
      suffix: '.txt',
      mode: 0o644,
    },
    {
      total: content.program ?? 0,
      largest: 4 * MiB,
      bytes: programBytes,
      place: 'usr/lib',
      suffix: '.so',
      mode: 0o755,
    },
    {
      total: content.packed ?? 0,
      largest: 16 * MiB,
      bytes: (from: SeededBytes, length: number) => from.bytes(length),
      place: 'opt/data',
      suffix: '.bin',
      mode: 0o600,
    },
  ];
  const written = new Set([folder]);
  for (const kind of kinds) {
    const place = path.join(folder, kind.place, `layer${layer}`);
    for (let left = kind.total, index = 0; left > 0; index += 1) {
      const length = Math.min(left, Math.ceil(kind.largest / 16) + seed.below(kind.largest));
      left -= length;
      const file = path.join(place, `${index}${kind.suffix}`);
      await mkdir(place, { recursive: true });
      await writeFile(file, kind.bytes(seed, length), { mode: kind.mode });
      written.add(file);
      for (let parent = place; parent !== folder; parent = path.dirname(parent)) written.add(parent);
    }
  }
  await symlink('usr/share/doc', path.join(folder, `doc${layer}`));
  // Deepest first, and the folders at last: writing into a folder changes its time.
  const time = new Date(created);
  for (const file of [...written].sort().reverse()) await utimes(file, time, time);
  await run(['touch', '--no-dereference', `--date=${created}`, path.join(folder, `doc${layer}`)]);
}
