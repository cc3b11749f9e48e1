import { SuccessGate } from './answer.ts';
import { isLoopback } from './endpoint.ts';
import type { Appetite, HttpHeaders, HttpReader, HttpRequest } from './exchange.ts';
import { describeRequest } from './failure.ts';
import { RegistryError } from './types.ts';

/** Registries redirect once, to an object store; some object stores once more, to a region. */
const maxRedirects = 5;

/** A redirect's own body is a line of text: read, so that the connection can be used again, up to this. */
const maxDrainedBytes = 64 * 1024;

export interface RedirectRules {
  /**
   * Whether an https answer may send the request on to plain http. Only for content that is checked against a digest:
   * anything else could be replaced on the way.
   */
  readonly allowDowngrade: boolean;
  /** Where a redirect's GET may go instead. */
  readonly detour?: Detour | undefined;
}

/** A better way to what a redirect leads to. */
export interface Detour {
  /** The URL to try first; undefined when there is no other way. */
  of(url: URL): URL | undefined;
  /** The other way failed before it brought anything; `url` is what it was to replace. */
  failed(url: URL): void;
}

/** Credentials, and the trace that this registry alone was to be told of. */
const forOneOrigin = new Set(['authorization', 'traceparent', 'tracestate']);

/**
 * Does the request and follows its redirects; the reader sees the last answer alone. `send` does one exchange. Returns
 * the request that got that answer. Rejects like `send`, and with a `RegistryError` of kind `invalid` for a redirect
 * that leads nowhere.
 */
export async function followRedirects(
  send: (request: HttpRequest, reader: HttpReader) => Promise<void>,
  request: HttpRequest,
  reader: HttpReader,
  rules: RedirectRules,
): Promise<HttpRequest> {
  let current = request;
  for (let hops = 0; ; hops += 1) {
    const gate = new RedirectGate(reader);
    await send(current, gate);
    if (gate.redirect === undefined) return current;
    if (hops === maxRedirects) {
      const first = describeRequest(request.method, request.url);
      throw new RegistryError('invalid', `${first}: more than ${maxRedirects} redirects`);
    }
    current = redirected(current, gate.redirect.location, rules);
    const detour = current.method === 'GET' ? rules.detour?.of(current.url) : undefined;
    if (detour === undefined) continue;
    const other = { ...current, url: detour };
    if (await succeeds(send, other, reader)) return other;
    rules.detour?.failed(current.url);
  }
}

/** Whether the request was answered with a success. Rejects for a failure after the answer had begun: the reader has a part. */
async function succeeds(
  send: (request: HttpRequest, reader: HttpReader) => Promise<void>,
  request: HttpRequest,
  reader: HttpReader,
): Promise<boolean> {
  const gate = new SuccessGate(reader);
  try {
    await send(request, gate);
  } catch (error) {
    if (gate.passed || request.signal?.aborted) throw error;
    return false;
  }
  return gate.passed;
}

/**
 * The request to send to a redirect's `Location`. Secrets stay with the origin (scheme, host and port) that they
 * were meant for; everything else, Range above all, goes along. Throws a `RegistryError` of kind `invalid`.
 */
export function redirected(request: HttpRequest, location: string | undefined, rules: RedirectRules): HttpRequest {
  const from = describeRequest(request.method, request.url);
  // The body is a form with a refresh token: no token server may pass it on.
  if (request.body !== undefined) throw new RegistryError('invalid', `${from}: a redirect of a request with a body`);
  const url = location === undefined ? null : URL.parse(location, request.url.href);
  if (url === null) throw new RegistryError('invalid', `${from}: a redirect without a usable Location`);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new RegistryError('invalid', `${from}: a redirect to ${url.protocol}, which is neither http nor https`);
  }
  const downgrade = request.url.protocol === 'https:' && url.protocol === 'http:' && !isLoopback(url.hostname);
  if (downgrade && !rules.allowDowngrade) {
    throw new RegistryError(
      'invalid',
      `${from}: a redirect from https to ${url.origin}; only content named by its digest may come over plain http`,
    );
  }
  // Never a name and a password out of a Location: they would be the registry's to choose.
  url.username = '';
  url.password = '';
  if (url.origin === request.url.origin) return { ...request, url };
  const kept = Object.entries(request.headers).filter(([name]) => !forOneOrigin.has(name.toLowerCase()));
  return { ...request, url, headers: Object.fromEntries(kept) };
}

/** Keeps redirect answers from the reader. */
class RedirectGate implements HttpReader {
  readonly #reader: HttpReader;
  #drained = 0;
  redirect: { readonly location: string | undefined } | undefined;

  constructor(reader: HttpReader) {
    this.#reader = reader;
  }

  onHeaders(status: number, headers: HttpHeaders): Appetite {
    if (![301, 302, 303, 307, 308].includes(status)) return this.#reader.onHeaders(status, headers);
    const { location } = headers;
    this.redirect = { location: typeof location === 'string' ? location : undefined };
    return 'more';
  }

  onData(chunk: Buffer): Appetite | Promise<Appetite> {
    if (this.redirect === undefined) return this.#reader.onData(chunk);
    this.#drained += chunk.length;
    return this.#drained > maxDrainedBytes ? 'enough' : 'more';
  }
}
