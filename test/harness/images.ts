import { cp } from 'node:fs/promises';
import path from 'node:path';
import { gunzipSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { created, type LayerContent, writeFiles } from './layer-files.ts';
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
import { SeededBytes } from './seeded.ts';
import { temporaryFolder } from './temp.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

/** How an image is made. */
export interface Recipe {
  /** Tells recipes apart whose images differ. */
  readonly id: string;
  /** Writes the image into an empty layout under the tag `v1`. */
  build(layout: OciLayout): Promise<void>;
}

const tag = 'v1';

/** Six gzip layers, about 31 MiB, with the files of an ordinary service: a few libraries, many small text files. */
export const layered = umociImage([
  { text: 2 * MiB, program: 12 * MiB },
  { text: 6 * MiB, program: 3 * MiB },
  { program: 20 * MiB },
  { text: 300 * KiB },
  { text: 2 * MiB, packed: 8 * MiB },
  { text: 4 * KiB },
]);

/** A gzip, a zstd and an uncompressed layer, one without any entry, and the first one once more. */
export const mixed: Recipe = { id: 'mixed', build: buildMixed };

/** An index of two platforms. */
export const platforms: Recipe = { id: 'platforms', build: buildPlatforms };

/** One layer of more than 300 MiB. */
export const large = umociImage([{ program: 64 * MiB, packed: 272 * MiB }]);

/** An artifact whose layers have one byte and none: no runtime can unpack it, every client can copy it. */
export const tiny: Recipe = { id: 'tiny', build: buildTiny };

/** What each kind of content comes to, compressed. */
const compressed = { text: 0.255, program: 0.655, packed: 1 };

/**
 * An image of `bytes` in `layers` layers of nearly the same size, the shares being those of the compressed bytes. Unpacking
 * costs containerd about 0.9 s a 100 MB of packed content, 3 s of programs, 7.5 s of text.
 */
export function imageOf(bytes: number, layers: number, shares: Readonly<Required<LayerContent>>): Recipe {
  const length = (kind: keyof LayerContent): number => (bytes / layers) * (shares[kind] / compressed[kind]);
  return umociImage(
    Array.from({ length: layers }, (_, layer) => ({
      // Layers of the same content would be one blob.
      text: Math.round(length('text')) + layer,
      program: Math.round(length('program')),
      packed: Math.round(length('packed')),
    })),
  );
}

/** An image of programs, their files and their data. */
export const applicationShares = { text: 0.1, program: 0.2, packed: 0.7 };

/** An image that is mostly data: models, archives, media. Unpacking it is cheap, so a pull is about moving bytes. */
export const dataShares = { text: 0.01, program: 0.04, packed: 0.95 };

/** An artifact of random bytes in layers of the same size, for whoever moves bytes without unpacking them. */
export function opaque(bytes: number, layers = 1): Recipe {
  return {
    id: `opaque ${bytes} ${layers}`,
    async build(layout) {
      const seed = new SeededBytes(`opaque ${bytes}`);
      const descriptors: Descriptor[] = [];
      for (let layer = 0; layer < layers; layer += 1) {
        descriptors.push(await layout.addBlob(mediaTypes.layer, seed.bytes(Math.round(bytes / layers))));
      }
      await addArtifact(layout, descriptors);
    },
  };
}

/** An image that umoci builds: `umoci insert` adds one gzip layer for each content. */
function umociImage(contents: readonly LayerContent[], architecture = 'amd64'): Recipe {
  return {
    id: `umoci ${architecture} ${JSON.stringify(contents)}`,
    async build(layout) {
      const scope = new Scope();
      try {
        const work = await temporaryFolder(scope, 'build');
        const image = `${layout.folder}:${tag}`;
        await run(['umoci', 'init', '--layout', layout.folder]);
        await run(['umoci', 'new', '--image', image]);
        for (const [index, content] of contents.entries()) {
          const folder = path.join(work, String(index));
          const seed = new SeededBytes(`${architecture} ${index} ${JSON.stringify(content)}`);
          await writeFiles(folder, seed, index, content);
          await run(['umoci', 'insert', '--image', image, '--history.created', created, folder, '/']);
        }
        const options = ['--created', created, '--architecture', architecture, '--no-history'];
        await run(['umoci', 'config', '--image', image, ...options]);
        await run(['umoci', 'gc', '--layout', layout.folder]);
      } finally {
        await scope.close();
      }
    },
  };
}

async function buildMixed(layout: OciLayout): Promise<void> {
  const contents = [{ text: MiB, program: 5 * MiB }, { text: 4 * MiB, program: 6 * MiB }, { program: 5 * MiB }];
  await umociImage(contents).build(layout);
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

async function buildPlatforms(layout: OciLayout): Promise<void> {
  const manifests: Descriptor[] = [];
  for (const architecture of ['amd64', 'arm64']) {
    // umoci refuses a layout that is there already: each platform has its own, and the blobs come together.
    const own = new OciLayout(`${layout.folder}-${architecture}`);
    await umociImage([{ text: MiB, program: 2 * MiB }, { text: 100 * KiB }], architecture).build(own);
    const { mediaType, digest, size } = await own.tagged(tag);
    manifests.push({ mediaType, digest, size, platform: { architecture, os: 'linux' } });
    await cp(path.join(own.folder, 'blobs'), path.join(layout.folder, 'blobs'), { recursive: true });
  }
  const index = { schemaVersion: 2, mediaType: mediaTypes.index, manifests };
  await layout.tag(await layout.addJson(mediaTypes.index, index), tag);
}

async function buildTiny(layout: OciLayout): Promise<void> {
  const one = await layout.addBlob(mediaTypes.layer, Buffer.from('1'));
  const none = await layout.addBlob(mediaTypes.layer, Buffer.alloc(0));
  await addArtifact(layout, [one, none]);
}

/** Gives layers that no runtime could unpack the form of an image. */
async function addArtifact(layout: OciLayout, layers: readonly Descriptor[]): Promise<void> {
  const rootfs = { type: 'layers', diff_ids: layers.map((layer) => layer.digest) } as const;
  await addImage(layout, { architecture: 'amd64', os: 'linux', created, config: {}, rootfs }, layers);
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
