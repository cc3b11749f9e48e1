import { z } from 'zod';
import { isDigest } from './reference.ts';
import { RegistryError } from './types.ts';

/** What a manifest says of a piece of content. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  /** Bytes. */
  readonly size: number;
}

export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string | undefined;
}

export interface IndexEntry extends Descriptor {
  readonly platform?: Platform | undefined;
}

export interface Layer extends Descriptor {
  /** Not distributed by the registry (base layers of Windows images): the runtime fetches it from elsewhere. */
  readonly foreign: boolean;
}

export type ParsedManifest =
  | { readonly kind: 'index'; readonly manifests: readonly IndexEntry[] }
  | { readonly kind: 'image'; readonly config: Descriptor; readonly layers: readonly Layer[] };

/** Overlayfs stacks some hundred layers at most; the largest public indexes have some dozen entries. */
const maxEntries = 1024;

const kinds: ReadonlyMap<string | undefined, ParsedManifest['kind']> = new Map([
  ['application/vnd.oci.image.index.v1+json', 'index'],
  ['application/vnd.docker.distribution.manifest.list.v2+json', 'index'],
  ['application/vnd.oci.image.manifest.v1+json', 'image'],
  ['application/vnd.docker.distribution.manifest.v2+json', 'image'],
]);

const descriptor = z.object({
  mediaType: z.string().max(255),
  digest: z.string().refine(isDigest, 'is not sha256: followed by 64 lower-case hex digits'),
  size: z.int().min(0),
});
const platform = z.object({
  os: z.string().max(255),
  architecture: z.string().max(255),
  variant: z.string().max(255).optional(),
});
const index = z.object({ manifests: z.array(descriptor.extend({ platform: platform.nullish() })).max(maxEntries) });
const image = z.object({
  config: descriptor,
  layers: z.array(descriptor.extend({ urls: z.array(z.string()).nullish() })).max(maxEntries),
});
const outline = z.looseObject({ schemaVersion: z.unknown().optional(), mediaType: z.string().optional() });

/**
 * Reads a manifest's references. `mediaType` is the answer's Content-Type; where that names no manifest type (static
 * file servers), the body's own `mediaType` counts, then its shape. Throws a `RegistryError` of kind `invalid` that says which
 * field is wrong.
 */
export function parseManifest(mediaType: string, body: Buffer): ParsedManifest {
  const json = parseJson(body);
  const parsed = outline.safeParse(json);
  if (parsed.error) throw invalid(parsed.error);
  const manifest = parsed.data;
  const type = mediaType.split(';', 1)[0]?.trim().toLowerCase() ?? '';
  if (manifest.schemaVersion === 1 || /docker\.distribution\.manifest\.v1\+/.test(type)) {
    throw refuse('it is of schema 1, which containerd does not take any more either; push the image again');
  }
  // A document that is both would be an index to one reader and an image to another.
  if ('manifests' in manifest && ('layers' in manifest || 'config' in manifest)) {
    throw refuse('it has the fields of an index and of an image');
  }
  const outer = kinds.get(type);
  const inner = kinds.get(manifest.mediaType);
  if (outer !== undefined && inner !== undefined && outer !== inner) {
    throw refuse(`its Content-Type is ${type}, its mediaType ${manifest.mediaType}`);
  }
  const kind = outer ?? inner ?? ('manifests' in manifest ? 'index' : 'image');
  return kind === 'index' ? parseIndex(manifest) : parseImage(manifest);
}

function parseIndex(manifest: object): ParsedManifest {
  const { data, error } = index.safeParse(manifest);
  if (error) throw invalid(error);
  const manifests = data.manifests.map(({ platform, ...rest }) => ({ ...rest, ...(platform && { platform }) }));
  return { kind: 'index', manifests };
}

function parseImage(manifest: object): ParsedManifest {
  const { data, error } = image.safeParse(manifest);
  if (error) throw invalid(error);
  const layers = data.layers.map(({ urls, ...rest }) => ({ ...rest, foreign: isForeign(rest.mediaType, urls ?? []) }));
  return { kind: 'image', config: data.config, layers };
}

/** Docker's foreign and OCI's non-distributable types; `urls` say where else the bytes are. */
function isForeign(mediaType: string, urls: readonly string[]): boolean {
  return urls.length > 0 || mediaType.includes('.foreign.') || mediaType.includes('.nondistributable.');
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    // The parser's message would quote the body.
    throw refuse('it is not JSON in UTF-8');
  }
}

function invalid(error: z.ZodError): RegistryError {
  const [issue] = error.issues;
  const field = issue?.path.join('.') || 'the document';
  return refuse(`${field}: ${issue?.message ?? 'is not what the specification says'}`);
}

function refuse(cause: string): RegistryError {
  return new RegistryError('invalid', `manifest: ${cause}`);
}
