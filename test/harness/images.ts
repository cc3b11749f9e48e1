import { cp, mkdir, symlink, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { gunzipSync, gzipSync, zstdCompressSync } from 'node:zlib';
import {
  type Descriptor,
  digestOf,
  type ImageConfig,
  type ImageManifest,
  mediaTypes,
  OciLayout,
} from './oci-layout.ts';
import { run } from './process.ts';
import { Scope } from './scope.ts';
import { programBytes, SeededBytes, textBytes } from './seeded.ts';
import { temporaryFolder } from './temp.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

/** What a layer's files add up to, in bytes before compression, by kind of content. */
export interface LayerContent {
  readonly text?: number;
  readonly program?: number;
  /** Content that is compressed already: pictures, archives, models. */
  readonly packed?: number;
}

/** An image to build: writes itself into an empty layout under the tag `v1`. */
export type Recipe = (layout: OciLayout) => Promise<void>;

const tag = 'v1';
/** Fixed, so that the same recipe gives the same digests at every build. */
const created = '2024-01-01T00:00:00Z';

/** The images of the tests and the benches, by repository name. All have the tag `v1`. */
export const recipes = {
  /** Six gzip layers with the files of an ordinary service: a few large libraries, many small text files. */
  layered: umociImage([
    { text: 2 * MiB, program: 12 * MiB },
    { text: 6 * MiB, program: 3 * MiB },
    { program: 20 * MiB },
    { text: 300 * KiB },
    { text: 2 * MiB, packed: 8 * MiB },
    { text: 4 * KiB },
  ]),
  /** A gzip, a zstd and an uncompressed layer, one without any entry, and the first one once more. */
  mixed: mixedImage,
  /** An index of two platforms. */
  platforms: platformIndex,
  /** One layer of more than 300 MiB. */
  large: umociImage([{ program: 64 * MiB, packed: 272 * MiB }]),
  /** An artifact whose layers have one byte and none: no runtime can unpack it, every client can copy it. */
  tiny: tinyArtifact,
  /** 256 MiB in four layers, with the mix of content of large images. */
  bench: umociImage(
    [0, 1, 2, 3].map((layer) => ({ text: (24 + layer) * MiB, program: 48 * MiB, packed: (25.5 - layer / 4) * MiB })),
  ),
} satisfies Record<string, Recipe>;

export type ImageName = keyof typeof recipes;

/** An image that umoci builds: `umoci insert` adds one gzip layer for each content. */
function umociImage(contents: readonly LayerContent[], architecture = 'amd64'): Recipe {
  return async (layout) => {
    const scope = new Scope();
    try {
      const work = await temporaryFolder(scope, 'build');
      const image = `${layout.folder}:${tag}`;
      await run(['umoci', 'init', '--layout', layout.folder]);
      await run(['umoci', 'new', '--image', image]);
      for (const [index, content] of contents.entries()) {
        const folder = path.join(work, String(index));
        await writeFiles(
          folder,
          new SeededBytes(`${architecture} ${index} ${JSON.stringify(content)}`),
          index,
          content,
        );
        await run(['umoci', 'insert', '--image', image, '--history.created', created, folder, '/']);
      }
      const options = ['--created', created, '--architecture', architecture, '--no-history'];
      await run(['umoci', 'config', '--image', image, ...options]);
      await run(['umoci', 'gc', '--layout', layout.folder]);
    } finally {
      await scope.close();
    }
  };
}

/** Fills a folder with files of the sizes that images have: text below /usr/share, libraries below /usr/lib, data below /opt. */
async function writeFiles(folder: string, seed: SeededBytes, layer: number, content: LayerContent): Promise<void> {
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

async function mixedImage(layout: OciLayout): Promise<void> {
  await umociImage([{ text: MiB, program: 5 * MiB }, { text: 4 * MiB, program: 6 * MiB }, { program: 5 * MiB }])(
    layout,
  );
  const manifest = await layout.json<ImageManifest>((await layout.tagged(tag)).digest);
  const config = await layout.json<ImageConfig>(manifest.config.digest);
  const [gzip, second, third] = manifest.layers;
  const [gzipDiff, secondDiff, thirdDiff] = config.rootfs.diff_ids;
  if (!gzip || !second || !third || !gzipDiff || !secondDiff || !thirdDiff) throw new Error('umoci left out a layer');

  const zstd = await layout.addBlob(
    `${mediaTypes.layer}+zstd`,
    zstdCompressSync(gunzipSync(await layout.blob(second.digest))),
  );
  const plain = await layout.addBlob(mediaTypes.layer, gunzipSync(await layout.blob(third.digest)));
  const noEntries = Buffer.alloc(1024);
  const empty = await layout.addBlob(`${mediaTypes.layer}+gzip`, gzipSync(noEntries));
  await addImage(
    layout,
    {
      ...config,
      rootfs: { type: 'layers', diff_ids: [gzipDiff, secondDiff, thirdDiff, digestOf(noEntries), gzipDiff] },
    },
    [gzip, zstd, plain, empty, gzip],
  );
}

async function platformIndex(layout: OciLayout): Promise<void> {
  const manifests: Descriptor[] = [];
  for (const architecture of ['amd64', 'arm64']) {
    // umoci refuses a layout that is there already: each platform has its own, and the blobs come together.
    const own = new OciLayout(`${layout.folder}-${architecture}`);
    await umociImage([{ text: MiB, program: 2 * MiB }, { text: 100 * KiB }], architecture)(own);
    const { mediaType, digest, size } = await own.tagged(tag);
    manifests.push({ mediaType, digest, size, platform: { architecture, os: 'linux' } });
    await cp(path.join(own.folder, 'blobs'), path.join(layout.folder, 'blobs'), { recursive: true });
  }
  const index = { schemaVersion: 2, mediaType: mediaTypes.index, manifests };
  await layout.tag(await layout.addJson(mediaTypes.index, index), tag);
}

async function tinyArtifact(layout: OciLayout): Promise<void> {
  const one = await layout.addBlob(mediaTypes.layer, Buffer.from('1'));
  const none = await layout.addBlob(mediaTypes.layer, Buffer.alloc(0));
  const config: ImageConfig = {
    architecture: 'amd64',
    os: 'linux',
    created,
    config: {},
    rootfs: { type: 'layers', diff_ids: [one.digest, none.digest] },
  };
  await addImage(layout, config, [one, none]);
}

async function addImage(layout: OciLayout, config: ImageConfig, layers: readonly Descriptor[]): Promise<void> {
  // umoci's history tells of other layers than these.
  const { history: _, ...withoutHistory } = config;
  const manifest: ImageManifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    config: await layout.addJson(mediaTypes.config, withoutHistory),
    layers,
  };
  await layout.tag(await layout.addJson(mediaTypes.manifest, manifest), tag);
}
