import type { Descriptor } from '../registry/manifest.ts';

/**
 * Which layers of an image are worth fetching before the runtime asks, in manifest order. The runtime asks for layers in
 * manifest order too and leaves out those that it has. So nothing is fetched before its first layer request, and a layer
 * that it has passed over is not fetched at all: a node that has the base image must not download it again.
 */
export function layersAhead(layers: readonly Descriptor[], requested: ReadonlySet<string>): Descriptor[] {
  // Each layer counts where it stands first: the runtime asks for it once, however often it is repeated.
  const distinct = [...new Map(layers.map((layer) => [layer.digest, layer])).values()];
  const last = distinct.findLastIndex((layer) => requested.has(layer.digest));
  if (last < 0) return [];
  return distinct.slice(last + 1).filter((layer) => layer.size > 0);
}
