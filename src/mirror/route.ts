import { registryOfPath } from '../config/path-registry.ts';
import { isDigest, parseRegistry, parseRepository, parseTagOrDigest } from '../registry/reference.ts';
import { RegistryError, type Repository } from '../registry/types.ts';
import { Refusal } from './refusal.ts';

/** What a request asks for. */
export type Route =
  /** `GET /v2/`: does this speak the protocol? */
  | { readonly kind: 'version' }
  | ({
      readonly kind: 'manifest' | 'blob';
      /** A tag or a digest for a manifest, a digest for a blob. */
      readonly reference: string;
      /** Where the registry's name stood: in `ns` (containerd) or first in the path (CRI-O, podman). */
      readonly form: 'ns' | 'path';
    } & Repository);

/** A repository has 255 characters, a registry 255, a tag 128; percent-encoded three times that. The rest is room. */
const maxTargetLength = 4096;
/** `algorithm:encoded` of the OCI image specification, descriptor.md, "Digests". */
const anyDigest = /^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/;

/**
 * Reads a request's target by the OCI distribution specification, "Pull": `/v2/<name>/(manifests|blobs)/<reference>`. The
 * registry that is meant comes in the query as `ns`, else as the first component of the path. Throws a `Refusal`.
 */
export function route(target: string): Route {
  if (target.length > maxTargetLength) {
    throw new Refusal(400, 'NAME_INVALID', `the request's target has more than ${maxTargetLength} characters`);
  }
  const { path, query } = split(target);
  if (path === '/v2' || path === '/v2/') return { kind: 'version' };
  const segments = path.split('/').map(decoded);
  const [empty, version, ...names] = segments;
  const reference = names.pop();
  const collection = names.pop();
  if (empty !== '' || version !== 'v2' || reference === undefined || names.length === 0) throw unknown();
  if (collection !== 'manifests' && collection !== 'blobs') throw unknown();
  const { repository, form } = named(names, query);
  if (collection === 'manifests') {
    return { kind: 'manifest', ...repository, form, reference: manifestReference(reference) };
  }
  return { kind: 'blob', ...repository, form, reference: blobDigest(reference) };
}

/** RFC 9112, 3.2: the target is a path, or an absolute URI as for a proxy. */
function split(target: string): { path: string; query: string } {
  const relative = target.replace(/^https?:\/\/[^/?#]*/i, '');
  const mark = relative.indexOf('?');
  return mark < 0 ? { path: relative, query: '' } : { path: relative.slice(0, mark), query: relative.slice(mark + 1) };
}

/** One segment of the path. An encoded slash would be a second way to write the same name. */
function decoded(segment: string): string {
  let text: string;
  try {
    text = decodeURIComponent(segment);
  } catch {
    throw new Refusal(400, 'NAME_INVALID', `the path has a wrong percent-encoding in ${JSON.stringify(segment)}`);
  }
  if (text.includes('/')) {
    throw new Refusal(400, 'NAME_INVALID', `the path has an encoded slash in ${JSON.stringify(segment)}`);
  }
  return text;
}

function named(names: readonly string[], query: string): { repository: Repository; form: 'ns' | 'path' } {
  const spaces = new URLSearchParams(query).getAll('ns');
  if (spaces.length > 1)
    throw new Refusal(400, 'NAME_INVALID', 'the query names several registries: one ns is allowed');
  const [space] = spaces;
  const [first = '', ...rest] = names;
  if (space !== undefined) return { repository: checked(space, names), form: 'ns' };
  const registry = registryOfPath(first);
  if (registry !== undefined) return { repository: checked(registry, rest), form: 'path' };
  throw new Refusal(
    400,
    'NAME_INVALID',
    `the request names no registry: neither a query of ns=<registry>, as containerd sends it, nor a registry (with a "." or ":", or localhost) as the path's first component; it begins with ${JSON.stringify(first)}`,
  );
}

function checked(registry: string, names: readonly string[]): Repository {
  try {
    return { registry: parseRegistry(registry), repository: parseRepository(names.join('/')) };
  } catch (error) {
    throw invalid(error, 'NAME_INVALID');
  }
}

function manifestReference(text: string): string {
  if (isDigest(text)) return text;
  if (text.includes(':')) return blobDigest(text);
  try {
    return parseTagOrDigest(text);
  } catch (error) {
    throw invalid(error, 'MANIFEST_INVALID');
  }
}

/** Only what can be checked is served; the runtime gets other algorithms' blobs from the registry, hence 404. */
function blobDigest(text: string): string {
  if (isDigest(text)) return text;
  if (anyDigest.test(text) && !text.startsWith('sha256:')) {
    throw new Refusal(
      404,
      'UNSUPPORTED',
      `${JSON.stringify(text)} is not a sha256 digest, which is all that Shoal serves`,
    );
  }
  throw new Refusal(
    400,
    'DIGEST_INVALID',
    `${JSON.stringify(text)} is not a digest: sha256: and 64 lower-case hex digits`,
  );
}

function invalid(error: unknown, code: 'NAME_INVALID' | 'MANIFEST_INVALID'): unknown {
  return error instanceof RegistryError ? new Refusal(400, code, error.message) : error;
}

function unknown(): Refusal {
  return new Refusal(
    404,
    'UNSUPPORTED',
    'Shoal serves /v2/, /v2/<name>/manifests/<reference> and /v2/<name>/blobs/<digest>, nothing else',
  );
}
