import { isIPv4, isIPv6 } from 'node:net';
import { type ImageReference, RegistryError, type Repository } from './types.ts';

/*
 * The grammar is that of the distribution project's reference package, which containerd, CRI-O and docker share; the
 * lengths are the OCI distribution specification's (tag: 128; repository: 255).
 */
const hostLabel = /^(?:[a-z0-9]|[a-z0-9][a-z0-9-]*[a-z0-9])$/;
const pathComponent = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const tagGrammar = /^\w[\w.-]{0,127}$/;
const sha256 = /^sha256:[0-9a-f]{64}$/;
const maxHostLength = 255;
const maxRepositoryLength = 255;
/** Host, port, repository, tag and digest at their longest, with room to spare. */
const maxReferenceLength = 1024;

const dockerHub = 'docker.io';

/** Whether the text is a digest that Shoal can check: `sha256:` and 64 lower-case hex digits. */
export function isDigest(text: string): boolean {
  return sha256.test(text);
}

/**
 * Parses what stands in a pod's `image:`. A missing registry means `docker.io`, whose one-component repositories are
 * under `library/`; a missing tag means `latest` unless there is a digest. Throws a `RegistryError` of kind `invalid` that
 * says what is wrong with which part.
 */
export function parseImageReference(text: string): ImageReference {
  if (text.length > maxReferenceLength) {
    throw invalid(`${text.slice(0, 64)}…`, `it has ${text.length} characters, more than ${maxReferenceLength}`);
  }
  if (text === '') throw invalid(text, 'it is empty');
  const at = text.indexOf('@');
  const digest = at < 0 ? undefined : text.slice(at + 1);
  const named = at < 0 ? text : text.slice(0, at);
  if (digest !== undefined && !isDigest(digest)) {
    throw invalid(text, `the digest ${quote(digest)} is not sha256: followed by 64 lower-case hex digits`);
  }
  // A colon after the last slash separates the tag; one before it belongs to the registry's port.
  const colon = named.indexOf(':', named.lastIndexOf('/') + 1);
  const tag = colon < 0 ? undefined : named.slice(colon + 1);
  const name = colon < 0 ? named : named.slice(0, colon);
  if (tag !== undefined && !tagGrammar.test(tag)) {
    throw invalid(text, `the tag ${quote(tag)} is not 1 to 128 letters, digits, _, . and -, the first no . or -`);
  }
  return {
    ...parseName(name, text),
    ...(tag !== undefined && { tag }),
    ...(digest !== undefined && { digest }),
    ...(tag === undefined && digest === undefined && { tag: 'latest' }),
  };
}

/** The canonical form, registry included: what `parseImageReference` reads back to the same reference. */
export function formatImageReference({ registry, repository, tag, digest }: ImageReference): string {
  return `${registry}/${repository}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;
}

/**
 * The canonical name of a registry as it stands in image references and in containerd's `ns`: lower case, `docker.io`
 * for `index.docker.io`. Throws a `RegistryError` of kind `invalid` when it is no `host[:port]`.
 */
export function parseRegistry(text: string): string {
  const cause = hostFault(text);
  if (cause !== undefined) throw new RegistryError('invalid', `registry ${quote(text)} ${cause}`);
  const registry = text.toLowerCase();
  return registry === 'index.docker.io' ? dockerHub : registry;
}

/**
 * Checks a repository's name, as it stands between `/v2/` and `/manifests/` in a request. Returns it; throws a
 * `RegistryError` of kind `invalid` when it is none.
 */
export function parseRepository(text: string): string {
  const cause = repositoryFault(text);
  if (cause !== undefined) throw new RegistryError('invalid', `repository ${quote(text)} ${cause}`);
  return text;
}

/** A tag or a digest, as it stands behind `/manifests/`. Returns it; throws a `RegistryError` of kind `invalid`. */
export function parseTagOrDigest(text: string): string {
  if (isDigest(text) || tagGrammar.test(text)) return text;
  throw new RegistryError('invalid', `${quote(text)} is neither a tag nor a sha256 digest`);
}

function parseName(name: string, text: string): Repository {
  const slash = name.indexOf('/');
  const first = name.slice(0, Math.max(slash, 0));
  // The first component is a registry when nothing else can be: repositories have no upper case, dots are for hosts.
  const named = slash > 0 && (/[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase());
  if (slash === 0) throw invalid(text, 'the registry before the first / is empty');
  const cause = named ? hostFault(first) : undefined;
  if (cause !== undefined) throw invalid(text, `the registry ${quote(first)} ${cause}`);
  const registry = named ? parseRegistry(first) : dockerHub;
  const path = named ? name.slice(slash + 1) : name;
  const repository = registry === dockerHub && !path.includes('/') ? `library/${path}` : path;
  const fault = path === '' ? 'is empty' : repositoryFault(repository);
  if (fault !== undefined) throw invalid(text, `the repository ${quote(path)} ${fault}`);
  return { registry, repository };
}

/** What is wrong with a `host[:port]`, as the end of a sentence about it. */
function hostFault(text: string): string | undefined {
  if (text.length > maxHostLength) return `has more than ${maxHostLength} characters`;
  const match = /^(\[.*\]|[^:]*)(?::(.*))?$/s.exec(text);
  const [, host = '', port] = match ?? [];
  if (match === null) return 'is not host[:port]; an IPv6 address stands in brackets';
  if (port !== undefined && !isPort(port)) return `has the port ${quote(port)}, which is not a number from 1 to 65535`;
  if (host.startsWith('[')) {
    // A zone (%eth0) names an interface of one machine: no image reference can mean it.
    return isIPv6(host.slice(1, -1)) && !host.includes('%') ? undefined : 'has no IPv6 address in its brackets';
  }
  if (host === '') return 'has an empty host';
  const labels = host.toLowerCase().split('.');
  if (!labels.every((label) => hostLabel.test(label))) {
    return 'is no host name: labels of letters, digits and inner -, separated by single dots';
  }
  // A URL reads such a host as an IPv4 address, also in its odd forms (2130706433, 0x7f.1): only the plain one is meant.
  if (/^(?:\d+|0x[0-9a-f]*)$/.test(labels.at(-1) ?? '') && !isIPv4(host))
    return 'ends in a number, but is no IPv4 address';
  return URL.canParse(`http://${host}`) ? undefined : 'is no host name that a URL can carry';
}

function isPort(text: string): boolean {
  return /^[0-9]{1,5}$/.test(text) && Number(text) >= 1 && Number(text) <= 65535;
}

/** What is wrong with a repository's name, as the end of a sentence about it. */
function repositoryFault(text: string): string | undefined {
  if (text.length > maxRepositoryLength) return `has more than ${maxRepositoryLength} characters`;
  const bad = text.split('/').find((component) => !pathComponent.test(component));
  if (bad === undefined) return undefined;
  if (bad === '') return 'has an empty component';
  if (bad !== bad.toLowerCase()) return `has upper case in ${quote(bad)}: repositories are lower case`;
  return `has the component ${quote(bad)}, which is not lower-case letters and digits, joined by ., _, __ or -`;
}

function invalid(text: string, cause: string): RegistryError {
  return new RegistryError('invalid', `image reference ${quote(text)}: ${cause}`);
}

/** Hostile text for a message: control characters escaped, length bounded. */
function quote(text: string): string {
  return JSON.stringify(text.length > 300 ? `${text.slice(0, 300)}…` : text);
}
