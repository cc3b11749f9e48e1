import { type Descriptor, parseManifest } from '../registry/manifest.ts';
import { nodePlatform, selectPlatform } from '../registry/platform.ts';
import {
  type ImageReference,
  type Manifest,
  type RegistryClient,
  RegistryError,
  type RequestOptions,
} from '../registry/types.ts';

/** What the registry showed of an image: the manifests of this node's platform, and what they name. */
export interface ImageContents {
  /** The manifest that the reference names: an index or an image. */
  readonly root: Manifest;
  /** Every manifest that was fetched, by digest. */
  readonly manifests: ReadonlyMap<string, Manifest>;
  /** In the order in which the runtime unpacks them; a layer may stand twice. Without foreign layers. */
  readonly layers: readonly Descriptor[];
  /** Sizes of config and layers, by digest. Bytes. */
  readonly sizes: ReadonlyMap<string, number>;
  /** Sum of `sizes`. */
  readonly bytes: number;
}

/**
 * Fetches the manifest of an image with the options' credentials and, when it is an index, the one of the node's platform.
 * Rejects with a `RegistryError`.
 */
export async function resolveImage(
  client: Pick<RegistryClient, 'getManifest'>,
  reference: ImageReference,
  options: RequestOptions,
): Promise<ImageContents> {
  const root = await client.getManifest(reference, reference.digest ?? reference.tag ?? 'latest', options);
  const parsed = parseManifest(root.mediaType, root.body);
  if (parsed.kind === 'image') return contentsOf(root, [root], parsed);

  const node = nodePlatform();
  const entry = selectPlatform(parsed.manifests, node);
  if (entry === undefined) {
    throw new RegistryError('not-found', `the index ${root.digest} has no image for ${node.os}/${node.architecture}`);
  }
  const child = await client.getManifest(reference, entry.digest, options);
  const image = parseManifest(child.mediaType, child.body);
  if (image.kind !== 'image') throw new RegistryError('invalid', `the index ${root.digest} names another index`);
  return contentsOf(root, [root, child], image);
}

function contentsOf(
  root: Manifest,
  manifests: readonly Manifest[],
  image: Extract<ReturnType<typeof parseManifest>, { kind: 'image' }>,
): ImageContents {
  const layers = image.layers.filter((layer) => !layer.foreign);
  const sizes = new Map([image.config, ...layers].map(({ digest, size }) => [digest, size]));
  return {
    root,
    manifests: new Map(manifests.map((manifest) => [manifest.digest, manifest])),
    layers,
    sizes,
    bytes: [...sizes.values()].reduce((sum, size) => sum + size, 0),
  };
}
