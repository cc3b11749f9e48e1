import { type Dispatcher, request } from 'undici';
import type { AccessSource } from './access.ts';
import { Connections } from './connections.ts';
import { connectionError, statusError } from './failure.ts';
import { LineSplitter } from './lines.ts';
import {
  type Content,
  type KubernetesEditor,
  KubernetesError,
  type KubernetesObject,
  type ListOptions,
  type ObjectList,
  type Resource,
  type WatchEvent,
  type WatchOptions,
} from './types.ts';
import { type ListPage, parseAnswer, parsePage, parseWatchEvent } from './wire.ts';

/** Bounds of what is taken from an API server, which may be a wrong or a hostile one. */
export interface ClientLimits {
  /** Objects of one page. An EndpointSlice has at most 1000 endpoints, 100 by default, of some 300 bytes. */
  readonly pageObjects: number;
  /** Bytes of one page. */
  readonly pageBytes: number;
  /** Bytes of one watch event: etcd keeps objects below 1.5 MiB; as JSON they are larger. */
  readonly eventBytes: number;
  /** Objects of one list. */
  readonly objects: number;
  /** Milliseconds for a page, and for the headers of a watch. */
  readonly answerMs: number;
}

export const defaultLimits: ClientLimits = {
  pageObjects: 250,
  pageBytes: 64 * 1024 * 1024,
  eventBytes: 8 * 1024 * 1024,
  objects: 50_000,
  answerMs: 30_000,
};

type Query = Readonly<Record<string, string | number | boolean | undefined>>;
type Answer = Dispatcher.ResponseData;

/** A request of one resource. */
interface Question {
  readonly path: string;
  readonly method?: 'GET' | 'POST' | 'PATCH';
  readonly query?: Query;
  readonly body?: { readonly type: string; readonly content: Content };
}

/** A status' body is a line of JSON; HTML pages of gateways are cut off. */
const largestRefusal = 16 * 1024;

/**
 * What Shoal needs of the API, as its conventions have it (kubernetes.io, "Kubernetes API Concepts"). A client of our own because
 * the official one costs 90 MB of memory.
 */
export function createKubernetesClient(access: AccessSource, limits: ClientLimits = defaultLimits): KubernetesEditor {
  return new Client(access, limits);
}

class Client implements KubernetesEditor {
  readonly #access: AccessSource;
  readonly #limits: ClientLimits;
  readonly #connections = new Connections();

  constructor(access: AccessSource, limits: ClientLimits) {
    this.#access = access;
    this.#limits = limits;
  }

  async list(resource: Resource, options: ListOptions): Promise<ObjectList> {
    const objects: KubernetesObject[] = [];
    let continueToken: string | undefined;
    for (;;) {
      const page = await this.#page(resource, options, continueToken);
      if (objects.length + page.objects.length > this.#limits.objects) {
        throw new KubernetesError('invalid', `list ${resource.name}: more than ${this.#limits.objects} objects`);
      }
      // A server that hands out empty pages for ever.
      if (page.objects.length === 0 && page.continueToken !== undefined) {
        throw new KubernetesError('invalid', `list ${resource.name}: an empty page that is not the last`);
      }
      objects.push(...page.objects);
      continueToken = page.continueToken;
      if (continueToken === undefined) return { objects, resourceVersion: page.resourceVersion };
    }
  }

  async *watch(resource: Resource, options: WatchOptions): AsyncGenerator<readonly WatchEvent[], void, undefined> {
    const { signal } = options;
    const what = `watch ${resource.name}`;
    const query = {
      watch: true,
      allowWatchBookmarks: true,
      labelSelector: options.labelSelector,
      resourceVersion: options.resourceVersion,
      timeoutSeconds: options.timeoutSeconds,
    };
    const { answerMs, eventBytes } = this.#limits;
    // The time is for the headers alone.
    const headersTime = new AbortController();
    const timer = setTimeout(() => headersTime.abort(tooSlow(what, answerMs)), answerMs);
    let answer: Answer;
    const combined = AbortSignal.any([signal, headersTime.signal]);
    try {
      answer = await this.#ask(what, { path: resource.path, query }, combined);
    } finally {
      clearTimeout(timer);
    }
    const lines = new LineSplitter(eventBytes);
    try {
      yield [];
      for await (const chunk of answer.body) {
        const events = lines.push(chunk).map((line) => parseWatchEvent(what, line));
        if (events.length > 0) yield events;
      }
    } catch (error) {
      throw outcome(what, error, signal);
    }
  }

  async close(): Promise<void> {
    await this.#connections.close();
  }

  get(resource: Resource, name: string, signal: AbortSignal): Promise<KubernetesObject> {
    return this.#one(`get ${resource.name}`, { path: pathOf(resource, name) }, signal);
  }

  create(resource: Resource, content: Content, signal: AbortSignal): Promise<KubernetesObject> {
    const body = { type: 'application/json', content };
    return this.#one(`create ${resource.name}`, { path: resource.path, method: 'POST', body }, signal);
  }

  patch(resource: Resource, name: string, content: Content, signal: AbortSignal): Promise<KubernetesObject> {
    const body = { type: 'application/merge-patch+json', content };
    return this.#one(`patch ${resource.name}`, { path: pathOf(resource, name), method: 'PATCH', body }, signal);
  }

  async #one(what: string, question: Question, signal: AbortSignal): Promise<KubernetesObject> {
    return parseAnswer(what, await this.#bounded(what, question, this.#limits.eventBytes, signal));
  }

  async #page(resource: Resource, options: ListOptions, continueToken: string | undefined): Promise<ListPage> {
    const { pageObjects, pageBytes } = this.#limits;
    const what = `list ${resource.name}`;
    const query = {
      labelSelector: options.labelSelector,
      limit: pageObjects,
      // The version of the first page holds for all: the token has it.
      resourceVersion: options.freshness === 'any' && continueToken === undefined ? '0' : undefined,
      continue: continueToken,
    };
    return parsePage(what, await this.#bounded(what, { path: resource.path, query }, pageBytes, options.signal));
  }

  /** A whole answer, at most `bytes` long and within the time for an answer. */
  async #bounded(what: string, question: Question, bytes: number, outer: AbortSignal): Promise<Buffer> {
    const { answerMs } = this.#limits;
    const time = new AbortController();
    const timer = setTimeout(() => time.abort(tooSlow(what, answerMs)), answerMs);
    const signal = AbortSignal.any([outer, time.signal]);
    try {
      return await collect(what, await this.#ask(what, question, signal), bytes);
    } catch (error) {
      throw outcome(what, error, signal);
    } finally {
      clearTimeout(timer);
    }
  }

  /** A request whose answer is a success. Rejects with a `KubernetesError`, or with the signal's reason. */
  async #ask(what: string, question: Question, signal: AbortSignal): Promise<Answer> {
    const { path, method = 'GET', query = {}, body } = question;
    const access = await this.#access();
    const where = `${what} at ${access.server.host}`;
    const dispatcher = this.#connections.for(access);
    const authorization = access.token === undefined ? {} : { authorization: `Bearer ${access.token}` };
    const type = body === undefined ? {} : { 'content-type': body.type };
    const headers = { accept: 'application/json', 'user-agent': 'shoal', ...type, ...authorization };
    const content = body === undefined ? null : JSON.stringify(body.content);
    try {
      const options = { dispatcher, method, headers, body: content, signal };
      const answer = await request(urlOf(access.server, path, query), options);
      if (answer.statusCode === 200 || (method === 'POST' && answer.statusCode === 201)) return answer;
      const refusal = parseRefusal(await collect(where, answer, largestRefusal));
      const retryAfter = answer.headers['retry-after'];
      throw statusError(where, { status: answer.statusCode, body: refusal, retryAfter: String(retryAfter ?? '') });
    } catch (error) {
      throw outcome(where, error, signal);
    }
  }
}

function pathOf(resource: Resource, name: string): string {
  return `${resource.path}/${encodeURIComponent(name)}`;
}

function urlOf(server: URL, path: string, query: Query): URL {
  const url = new URL(server.href.replace(/\/$/, '') + path);
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined) url.searchParams.set(name, String(value));
  }
  return url;
}

/** The body, up to `limit` bytes. The connection of a longer one is cut. */
async function collect(what: string, answer: Answer, limit: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of answer.body) {
    length += chunk.length;
    if (length > limit) throw new KubernetesError('invalid', `${what}: the answer is longer than ${limit} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function parseRefusal(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
}

/** What a failed exchange is to the caller: its own signal's reason, an error of ours, or the connection's. */
function outcome(what: string, error: unknown, signal: AbortSignal): unknown {
  if (signal.aborted) return signal.reason;
  return error instanceof KubernetesError ? error : connectionError(what, error);
}

function tooSlow(what: string, answerMs: number): KubernetesError {
  return new KubernetesError('unavailable', `${what}: no answer within ${answerMs} ms`);
}
