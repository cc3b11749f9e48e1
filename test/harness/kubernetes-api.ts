import { EventEmitter, once } from 'node:events';
import { readFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import type { TLSSocket } from 'node:tls';
import type { Access } from '../../src/kubernetes/access.ts';
import { type CertificateAuthority, createAuthority, type IssuedCertificate } from './certificates.ts';
import type { Scope } from './scope.ts';

/** An object as it is put in; the server adds `metadata.resourceVersion`. */
export interface FakeObject {
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
  readonly [key: string]: unknown;
}

export interface ApiRequest {
  readonly path: string;
  readonly query: URLSearchParams;
  readonly verb: Verb;
  readonly token: string | undefined;
  readonly status: number | undefined;
}

export type Verb = 'list' | 'watch' | 'get' | 'create' | 'patch';
type Verbs = readonly Verb[];
/** True: it has taken the request over. */
type Intercept = (request: ApiRequest, response: ServerResponse) => boolean;

interface Watch {
  readonly path: string;
  readonly selector: string;
  readonly bookmarks: boolean;
  readonly response: ServerResponse;
}

interface Change {
  readonly version: number;
  readonly path: string;
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly object: FakeObject;
  readonly before: FakeObject | undefined;
}

export const endpointSlicesPath = '/apis/discovery.k8s.io/v1/namespaces/shoal/endpointslices';
export const namespacesPath = '/api/v1/namespaces';
export const nodesPath = '/api/v1/nodes';
export const podsPath = '/api/v1/namespaces/shoal/pods';
export const secretsPath = '/api/v1/namespaces/shoal/secrets';
/** Events of the pods in the namespace `shop`. */
export const eventsPath = '/api/v1/namespaces/shop/events';
export const daemonSetsPath = '/apis/apps/v1/namespaces/shoal/daemonsets';

const kinds: Readonly<Record<string, readonly [apiVersion: string, kind: string]>> = {
  [endpointSlicesPath]: ['discovery.k8s.io/v1', 'EndpointSlice'],
  [namespacesPath]: ['v1', 'Namespace'],
  [nodesPath]: ['v1', 'Node'],
  [podsPath]: ['v1', 'Pod'],
  [secretsPath]: ['v1', 'Secret'],
  [eventsPath]: ['v1', 'Event'],
  [daemonSetsPath]: ['apps/v1', 'DaemonSet'],
};

/**
 * The part of a Kubernetes API server that clients which list and watch need, over TLS, as "Kubernetes API Concepts" has it:
 * pages with continue tokens, watches from a resource version with bookmarks, 410 for versions that are compacted away,
 * authentication by bearer token or client certificate, RBAC by verb; single objects are got, created (409 when there is one) and
 * changed by JSON merge patches. What else a server may do wrong is `intercept`'s.
 */
export class FakeKubernetesApi {
  readonly requests: ApiRequest[] = [];
  readonly authority: CertificateAuthority;
  /** Verbs by bearer token, and by `CN=<name>` of a client certificate. Others get 401. */
  readonly permissions = new Map<string, Verbs>([['secret-token', ['list', 'watch']]]);
  intercept: Intercept | undefined;
  host = '';
  port = 0;
  readonly #events = new EventEmitter();
  readonly #objects = new Map<string, Map<string, FakeObject>>(Object.keys(kinds).map((path) => [path, new Map()]));
  readonly #watches = new Set<Watch>();
  readonly #pages = new Map<string, { readonly rest: readonly FakeObject[]; readonly version: number }>();
  #history: Change[] = [];
  #version = 1000;
  #oldest = 1000;
  #tokens = 0;

  constructor(authority: CertificateAuthority) {
    this.authority = authority;
  }

  get url(): string {
    return `https://${this.host}:${this.port}`;
  }

  /** Watches that are open. */
  get watches(): number {
    return this.#watches.size;
  }

  /** Creates or replaces an object. */
  put(path: string, object: FakeObject): void {
    const collection = this.#collection(path);
    const before = collection.get(object.metadata.name);
    this.#version += 1;
    const stored = { ...object, metadata: { ...object.metadata, resourceVersion: String(this.#version) } };
    collection.set(object.metadata.name, stored);
    this.#change({ version: this.#version, path, type: before ? 'MODIFIED' : 'ADDED', object: stored, before });
  }

  remove(path: string, name: string): void {
    const collection = this.#collection(path);
    const before = collection.get(name);
    if (before === undefined) return;
    collection.delete(name);
    this.#version += 1;
    const object = { ...before, metadata: { ...before.metadata, resourceVersion: String(this.#version) } };
    this.#change({ version: this.#version, path, type: 'DELETED', object, before });
  }

  /** The object as it is now. */
  object(path: string, name: string): FakeObject | undefined {
    return this.#collection(path).get(name);
  }

  /** Names and versions of what is there, for comparisons. */
  names(path: string): string[] {
    return [...this.#collection(path).keys()].sort();
  }

  /** Tells the watches the current version. */
  bookmark(): void {
    for (const watch of this.#watches) {
      if (!watch.bookmarks) continue;
      const [apiVersion, kind] = kinds[watch.path] ?? [];
      const metadata = { resourceVersion: String(this.#version), creationTimestamp: null };
      send(watch, 'BOOKMARK', { kind, apiVersion, metadata });
    }
  }

  /** Forgets the history: a watch from an older version, and a next page, get 410. */
  compact(): void {
    this.#history = [];
    this.#oldest = this.#version;
    this.#pages.clear();
  }

  /** Ends all watches: as the server does after `timeoutSeconds`, or in the middle of a line. */
  endWatches(how: 'end' | 'cut' | 'gone'): void {
    for (const watch of [...this.#watches]) {
      if (how === 'gone') send(watch, 'ERROR', statusOf(410, 'Expired', 'too old resource version'));
      if (how !== 'cut') watch.response.end();
      else {
        watch.response.write('{"type":"ADDED","object":{"kind"');
        watch.response.socket?.destroySoon();
      }
    }
  }

  /** Access with the one token that counts from the start. */
  async access(): Promise<Access> {
    const ca = await readFile(this.authority.certificateFile, 'utf8');
    const none = { certificate: undefined, key: undefined, serverName: undefined, insecure: false };
    return { server: new URL(this.url), ca, token: 'secret-token', ...none };
  }

  /** Resolves when `done` holds; asked after every request and every end of a watch. */
  async until(done: () => boolean): Promise<void> {
    while (!done()) await once(this.#events, 'something');
  }

  answer(message: IncomingMessage, response: ServerResponse): void {
    const url = new URL(message.url ?? '/', this.url);
    const path = this.#objects.has(url.pathname) ? url.pathname : url.pathname.slice(0, url.pathname.lastIndexOf('/'));
    const verb = verbOf(message.method, url, path !== url.pathname);
    const token = /^Bearer (.*)$/.exec(message.headers.authorization ?? '')?.[1];
    const request = { path: url.pathname, query: url.searchParams, verb, token } as const;
    response.on('error', () => {});
    const record = (status: number | undefined) => {
      this.requests.push({ ...request, status });
      this.#events.emit('something');
    };
    if (this.intercept?.({ ...request, status: undefined }, response)) {
      record(undefined);
      return;
    }
    const subject = token ?? `CN=${(message.socket as TLSSocket).getPeerCertificate().subject?.CN ?? ''}`;
    const verbs = this.permissions.get(subject);
    const refuse = (status: number, reason: string, text: string) => {
      reply(response, status, statusOf(status, reason, text));
      record(status);
    };
    if (verbs === undefined) refuse(401, 'Unauthorized', 'Unauthorized');
    else if (!verbs.includes(verb)) refuse(403, 'Forbidden', `User "test" cannot ${verb} this resource`);
    else if (!this.#objects.has(path)) refuse(404, 'NotFound', 'the server could not find it');
    else if (verb === 'list') record(this.#list(request, response));
    else if (verb === 'watch') record(this.#watch(request, response));
    else void this.#single(verb, path, message, response).then(record);
  }

  async #single(verb: Verb, path: string, message: IncomingMessage, response: ServerResponse): Promise<number> {
    const body = verb === 'get' ? undefined : ((await json(message)) as FakeObject);
    const named = decodeURIComponent(new URL(message.url ?? '/', this.url).pathname.slice(path.length + 1));
    const name = verb === 'create' ? (body?.metadata.name ?? '') : named;
    const known = this.object(path, name);
    const answer = (status: number, content: object): number => {
      reply(response, status, content);
      return status;
    };
    if (verb === 'create' && known) return answer(409, statusOf(409, 'AlreadyExists', `"${name}" already exists`));
    if (verb !== 'create' && !known) return answer(404, statusOf(404, 'NotFound', `"${name}" not found`));
    if (verb === 'create' && body) this.put(path, body);
    if (verb === 'patch' && known && body) this.put(path, mergePatch(known, body) as FakeObject);
    return answer(verb === 'create' ? 201 : 200, this.object(path, name) ?? {});
  }

  #list({ path, query }: Pick<ApiRequest, 'path' | 'query'>, response: ServerResponse): number {
    const token = query.get('continue');
    const page = token === null ? undefined : this.#pages.get(token);
    if (token !== null && page === undefined) {
      reply(response, 410, statusOf(410, 'Expired', 'The provided continue parameter is too old'));
      return 410;
    }
    const selector = query.get('labelSelector') ?? '';
    const all = page?.rest ?? [...this.#collection(path).values()].filter((object) => matches(object, selector));
    const version = page?.version ?? this.#version;
    const limit = Number(query.get('limit') ?? 0) || all.length;
    const rest = all.slice(limit);
    let next: string | undefined;
    if (rest.length > 0) {
      this.#tokens += 1;
      next = `page ${this.#tokens}`;
      this.#pages.set(next, { rest, version });
    }
    const [apiVersion, kind] = kinds[path] ?? [];
    const metadata = { resourceVersion: String(version), ...(next && { continue: next }) };
    reply(response, 200, { kind: `${kind}List`, apiVersion, metadata, items: all.slice(0, limit) });
    return 200;
  }

  #watch({ path, query }: Pick<ApiRequest, 'path' | 'query'>, response: ServerResponse): number {
    const from = Number(query.get('resourceVersion') ?? Number.NaN);
    if (Number.isNaN(from)) {
      reply(response, 400, statusOf(400, 'BadRequest', 'a watch from any version is not in this server'));
      return 400;
    }
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    const watch = {
      path,
      selector: query.get('labelSelector') ?? '',
      bookmarks: query.get('allowWatchBookmarks') === 'true',
      response,
    };
    if (from < this.#oldest) {
      send(watch, 'ERROR', statusOf(410, 'Expired', `too old resource version: ${from} (${this.#oldest})`));
      response.end();
      return 200;
    }
    this.#watches.add(watch);
    const timer = setTimeout(() => response.end(), Number(query.get('timeoutSeconds') ?? 3600) * 1000);
    response.on('close', () => {
      clearTimeout(timer);
      this.#watches.delete(watch);
      this.#events.emit('something');
    });
    for (const change of this.#history) if (change.version > from) tell(watch, change);
    return 200;
  }

  #change(change: Change): void {
    this.#history.push(change);
    for (const watch of this.#watches) tell(watch, change);
  }

  #collection(path: string): Map<string, FakeObject> {
    const collection = this.#objects.get(path);
    if (collection === undefined) throw new Error(`the fake Kubernetes API has no ${path}`);
    return collection;
  }
}

/** What a server needs of its CA; made once for many servers, because keys take their time. */
export interface ApiCertificates {
  readonly authority: CertificateAuthority;
  readonly certificate: IssuedCertificate;
}

export async function createApiCertificates(scope: Scope): Promise<ApiCertificates> {
  const authority = await createAuthority(scope);
  const certificate = await authority.issue('kubernetes', ['IP:127.0.0.1', 'DNS:kubernetes.default.svc']);
  return { authority, certificate };
}

/** Starts a server on loopback. */
export async function startKubernetesApi(
  scope: Scope,
  { authority, certificate }: ApiCertificates,
): Promise<FakeKubernetesApi> {
  const api = new FakeKubernetesApi(authority);
  const server = createServer(
    {
      cert: await readFile(certificate.certificateFile),
      key: await readFile(certificate.keyFile),
      ca: await readFile(authority.certificateFile),
      requestCert: true,
      rejectUnauthorized: false,
    },
    (request, response) => api.answer(request, response),
  );
  scope.defer(() => {
    server.close();
    server.closeAllConnections();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  api.host = '127.0.0.1';
  api.port = (server.address() as AddressInfo).port;
  return api;
}

/** A kubeconfig file's text with the way in of `access`. */
export async function kubeconfigOf(api: FakeKubernetesApi): Promise<string> {
  const { ca, token } = await api.access();
  const authority = Buffer.from(ca ?? '').toString('base64');
  // JSON is YAML.
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'node',
    contexts: [{ name: 'node', context: { cluster: 'cluster', user: 'agent' } }],
    clusters: [{ name: 'cluster', cluster: { server: api.url, 'certificate-authority-data': authority } }],
    users: [{ name: 'agent', user: { token } }],
  });
}

function verbOf(method: string | undefined, url: URL, single: boolean): Verb {
  if (method === 'POST') return 'create';
  if (method === 'PATCH') return 'patch';
  if (single) return 'get';
  return url.searchParams.get('watch') === 'true' ? 'watch' : 'list';
}

/** RFC 7386. */
function mergePatch(target: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const merged = new Map(Object.entries(typeof target === 'object' && target !== null ? target : {}));
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) merged.delete(key);
    else merged.set(key, mergePatch(merged.get(key), value));
  }
  return Object.fromEntries(merged);
}

/** A watch with a selector sees an object that begins to match as new, and one that ceases to as deleted. */
function tell(watch: Watch, { path, type, object, before }: Change): void {
  if (path !== watch.path) return;
  const was = before !== undefined && matches(before, watch.selector);
  const is = type !== 'DELETED' && matches(object, watch.selector);
  if (is) send(watch, was ? 'MODIFIED' : 'ADDED', object);
  else if (was) send(watch, 'DELETED', object);
}

function send(watch: Watch, type: string, object: object): void {
  watch.response.write(`${JSON.stringify({ type, object })}\n`);
}

function reply(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

function statusOf(code: number, reason: string, message: string): object {
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message, reason, code };
}

function matches(object: FakeObject, selector: string): boolean {
  return selector
    .split(',')
    .filter((term) => term !== '')
    .every((term) => {
      const [label = '', value] = term.split('=');
      return object.metadata.labels?.[label] === value;
    });
}
