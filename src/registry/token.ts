import { z } from 'zod';
import { BodyCollector, refusalError, SuccessGate } from './answer.ts';
import type { Challenge } from './challenge.ts';
import { basicAuthorization } from './credentials.ts';
import { isLoopback } from './endpoint.ts';
import type { HttpReader, HttpRequest } from './exchange.ts';
import { describeRequest } from './failure.ts';
import { followRedirects } from './redirect.ts';
import { type Credentials, RegistryError, type Repository } from './types.ts';

export interface TokenRequest {
  /** A Bearer challenge with a realm. */
  readonly challenge: Challenge;
  readonly repository: Repository;
  readonly credentials: Credentials;
  /** Whether the registry itself is spoken to over plain http. */
  readonly plainHttp: boolean;
}

export interface Token {
  readonly token: string;
  /** Milliseconds, from the request on, for which it may be used. */
  readonly lifetimeMs: number;
}

/** Distribution's token specification: 60 seconds where the answer does not say. */
const defaultLifetimeSeconds = 60;
const maxLifetimeSeconds = 24 * 3600;
/** Taken off the lifetime, so that a token does not expire on its way: a sixth of the shortest that servers may give. */
const marginSeconds = 10;

const deadlineMs = 30_000;
/** Tokens with many access entries have some KiB. */
const maxAnswerBytes = 256 * 1024;
const maxScopes = 16;

const tokenAnswer = z.object({
  token: z.string().optional(),
  access_token: z.string().optional(),
  expires_in: z.number().optional(),
});

/**
 * Gets a pull token from the challenge's realm: GET, with Basic when there are a name and a password (distribution's
 * token authentication); POST with the refresh token for an identity token (its OAuth2 variant). `send` does one exchange
 * on behalf of the registry. Rejects with a `RegistryError`; 429 and 5xx as a `TransientError`.
 */
export async function fetchToken(
  send: (request: HttpRequest, reader: HttpReader) => Promise<void>,
  request: TokenRequest,
): Promise<Token> {
  const tokenRequest = createTokenRequest(request);
  const answer = new BodyCollector(maxAnswerBytes);
  const gate = new SuccessGate(answer);
  const answered = await followRedirects(send, tokenRequest, gate, { allowDowngrade: request.plainHttp });
  const description = describeRequest(answered.method, answered.url);
  if (gate.refusal !== undefined) throw tokenRefusal(answered, gate.refusal);
  if (answer.truncated) throw new RegistryError('invalid', `${description}: more than ${maxAnswerBytes} bytes`);
  return parseTokenAnswer(description, answer.body);
}

/** The request that a challenge asks for. Throws a `RegistryError` when the realm is no place to send secrets to. */
export function createTokenRequest({ challenge, repository, credentials, plainHttp }: TokenRequest): HttpRequest {
  const url = parseRealm(challenge.parameters.get('realm') ?? '', repository.registry);
  const secret = credentials.kind !== 'anonymous';
  /*
   * Secrets go over plain http only where they would anyway: to the realm of a registry that is itself plain (whoever
   * listens there could change the realm as well), or to a realm on this machine. An https registry can't lure them
   * out into the clear, neither by mistake nor by a forged challenge.
   */
  if (secret && url.protocol === 'http:' && !plainHttp && !isLoopback(url.hostname)) {
    throw new RegistryError(
      'unauthorized',
      `registry ${repository.registry}: its token realm ${url.origin} is plain http; credentials are not sent there. The realm must be https`,
    );
  }
  const parameters: [string, string][] = [];
  const service = challenge.parameters.get('service');
  if (service !== undefined) parameters.push(['service', service]);
  const headers = { accept: 'application/json' };
  if (credentials.kind === 'identity-token') {
    const form = new URLSearchParams([
      ...parameters,
      ['grant_type', 'refresh_token'],
      ['client_id', 'shoal'],
      // One parameter, scopes separated by spaces (RFC 6749 section 3.3); GET repeats the parameter instead.
      ['scope', scopesOf(challenge, repository).join(' ')],
      ['refresh_token', credentials.token],
    ]);
    const type = 'application/x-www-form-urlencoded';
    return { method: 'POST', url, headers: { ...headers, 'content-type': type }, body: form.toString(), deadlineMs };
  }
  for (const scope of scopesOf(challenge, repository)) parameters.push(['scope', scope]);
  for (const [name, value] of parameters) url.searchParams.append(name, value);
  const authorization =
    credentials.kind === 'basic' ? basicAuthorization(credentials.username, credentials.password) : undefined;
  return { method: 'GET', url, headers: { ...headers, ...(authorization && { authorization }) }, deadlineMs };
}

/** Reads a token server's answer. Throws a `RegistryError` of kind `invalid`; never quotes the answer. */
export function parseTokenAnswer(description: string, body: Buffer): Token {
  const fail = (cause: string) => new RegistryError('invalid', `${description}: the token server's answer ${cause}`);
  let json: unknown;
  try {
    json = JSON.parse(body.toString('utf8'));
  } catch {
    throw fail('is not JSON');
  }
  const answer = tokenAnswer.safeParse(json).data;
  if (answer === undefined) throw fail('has a token or expires_in of another type than the specification says');
  const token = answer.token || answer.access_token;
  if (!token) throw fail('has neither token nor access_token');
  // It goes into a header: printable ASCII alone.
  if (!/^[\x21-\x7e]+$/.test(token)) throw fail('has a token with characters that no header can carry');
  const seconds = Math.min(answer.expires_in ?? defaultLifetimeSeconds, maxLifetimeSeconds);
  return { token, lifetimeMs: Math.max(0, seconds - marginSeconds) * 1000 };
}

/** Pulling this repository, and whatever else the registry says that it wants (some name repositories differently). */
function scopesOf(challenge: Challenge, { repository }: Repository): string[] {
  const asked = (challenge.parameters.get('scope') ?? '').split(' ').filter((scope) => scope !== '');
  return [...new Set([`repository:${repository}:pull`, ...asked])].slice(0, maxScopes);
}

function parseRealm(realm: string, registry: string): URL {
  const url = URL.parse(realm);
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new RegistryError('invalid', `registry ${registry}: its token realm is not an http or https URL`);
  }
  url.username = '';
  url.password = '';
  return url;
}

function tokenRefusal(request: HttpRequest, refusal: BodyCollector): RegistryError {
  const failure = refusalError(request, refusal);
  // RFC 6749 answers a refused refresh token with 400, and some token servers a refused password with 403.
  if (![400, 401, 403].includes(refusal.status)) return failure;
  const message = `${failure.message}; the token server refused the credentials`;
  return new RegistryError('unauthorized', message, { status: refusal.status });
}
