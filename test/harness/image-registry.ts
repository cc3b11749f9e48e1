import { createHash } from 'node:crypto';
import { access, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import path from 'node:path';
import { large, layered, mixed, platforms, type Recipe, tiny } from './images.ts';
import { type Descriptor, type ImageManifest, mediaTypes, OciLayout } from './oci-layout.ts';
import { run } from './process.ts';
import { type RegistryOptions, type RunningRegistry, startRegistry } from './registry.ts';
import { Scope } from './scope.ts';
import { temporaryFolder } from './temp.ts';

const repositoryRoot = path.resolve(import.meta.dirname, '../..');
/** Registry folders with images that were built and pushed once; keyed by the sources that build them. */
const cacheFolder = path.join(repositoryRoot, '.cache/images');
const keptUnusedMs = 24 * 60 * 60 * 1000;

/** The images of the end-to-end tests: always the same set, so that it is built once. */
export const e2eImages = { layered, mixed, platforms, large, tiny };

/**
 * Starts a registry that has these images, each as `<name>:v1`. They are built with umoci and pushed with skopeo the
 * first time, and kept.
 */
export async function startImageRegistry(
  scope: Scope,
  images: Readonly<Record<string, Recipe>>,
  options: Omit<RegistryOptions, 'root'> = {},
): Promise<RunningRegistry> {
  const root = await registryFolder(images);
  const registry = await startRegistry({ ...options, root });
  scope.defer(() => registry.stop());
  return registry;
}

async function registryFolder(images: Readonly<Record<string, Recipe>>): Promise<string> {
  const key = createHash('sha256');
  for (const [name, recipe] of Object.entries(images)) key.update(`${name} ${recipe.id}\n`);
  for (const source of ['images.ts', 'layer-files.ts', 'seeded.ts', 'oci-layout.ts', 'image-registry.ts']) {
    key.update(await readFile(path.join(import.meta.dirname, source)));
  }
  const folder = path.join(cacheFolder, key.digest('hex').slice(0, 16));
  const now = new Date();
  // The folder's time tells when it was last of use.
  if (await exists(folder)) {
    await utimes(folder, now, now);
    return folder;
  }

  const scope = new Scope();
  try {
    await mkdir(cacheFolder, { recursive: true });
    await removeUnused(now);
    // Beside its place at last, so that it gets there in one step: a build that was cut short leaves nothing behind.
    // Its own: tests of one process may build the same image at once.
    const unfinished = await mkdtemp(`${folder}.`);
    scope.defer(() => rm(unfinished, { recursive: true, force: true }));
    const registry = await startRegistry({ root: unfinished });
    scope.defer(() => registry.stop());
    for (const [name, recipe] of Object.entries(images)) await buildAndPush(registry, name, recipe);
    await registry.stop();
    await rename(unfinished, folder).catch(async (error: unknown) => {
      // Somebody else was faster.
      if (!(await exists(folder))) throw error;
    });
    return folder;
  } finally {
    await scope.close();
  }
}

/** Images of former recipes: nobody comes for them again. */
async function removeUnused(now: Date): Promise<void> {
  for (const name of await readdir(cacheFolder)) {
    const folder = path.join(cacheFolder, name);
    // Another test may have finished with it meanwhile.
    const found = await stat(folder).catch(() => undefined);
    if (found === undefined || now.getTime() - found.mtimeMs <= keptUnusedMs) continue;
    await rm(folder, { recursive: true, force: true });
  }
}

async function buildAndPush(registry: RunningRegistry, name: string, recipe: Recipe): Promise<void> {
  const scope = new Scope();
  try {
    const layout = new OciLayout(path.join(await temporaryFolder(scope, 'layout'), name));
    await recipe.build(layout);
    const target = `docker://${registry.host}/${name}:v1`;
    const options = ['--all', '--preserve-digests', '--dest-tls-verify=false'];
    await run(['skopeo', 'copy', ...options, `oci:${layout.folder}:v1`, target]);
  } finally {
    await scope.close();
  }
}

async function exists(file: string): Promise<boolean> {
  return await access(file).then(
    () => true,
    () => false,
  );
}

/** What a runtime fetches for one image on this platform. */
export interface ImageContent {
  /** Digest of what the tag names: an index or a manifest. */
  readonly digest: string;
  /** Index, manifest, config and layers, each once. */
  readonly blobs: readonly Descriptor[];
  readonly layers: readonly Descriptor[];
  /** The config's digest: what containerd calls the image. */
  readonly config: string;
  /** Bytes of all of `blobs`. */
  readonly size: number;
}

/** Reads an image's manifests from an open registry. */
export async function imageContent(registryUrl: string, repository: string, reference = 'v1'): Promise<ImageContent> {
  const get = async (what: string): Promise<{ descriptor: Descriptor; body: Buffer }> => {
    const response = await fetch(`${registryUrl}/v2/${repository}/manifests/${what}`, {
      headers: { Accept: `${mediaTypes.index}, ${mediaTypes.manifest}` },
    });
    if (!response.ok) throw new Error(`GET of manifest ${repository}:${what}: ${response.status}`);
    const body = Buffer.from(await response.arrayBuffer());
    const mediaType = response.headers.get('content-type') ?? '';
    const digest = `sha256:${createHash('sha256').update(body).digest('hex')}`;
    return { descriptor: { mediaType, digest, size: body.length }, body };
  };
  const top = await get(reference);
  const descriptors = [top.descriptor];
  let manifestBody = top.body;
  if (top.descriptor.mediaType === mediaTypes.index) {
    const { manifests } = JSON.parse(top.body.toString()) as { manifests: readonly Descriptor[] };
    const own = manifests.find((entry) => entry.platform?.architecture === 'amd64');
    if (own === undefined) throw new Error(`${repository}:${reference} has nothing for amd64`);
    const manifest = await get(own.digest);
    descriptors.push(manifest.descriptor);
    manifestBody = manifest.body;
  }
  const manifest = JSON.parse(manifestBody.toString()) as ImageManifest;
  descriptors.push(manifest.config, ...manifest.layers);
  const blobs = [...new Map(descriptors.map((blob) => [blob.digest, blob])).values()];
  return {
    digest: top.descriptor.digest,
    blobs,
    layers: manifest.layers,
    config: manifest.config.digest,
    size: blobs.reduce((sum, blob) => sum + blob.size, 0),
  };
}
