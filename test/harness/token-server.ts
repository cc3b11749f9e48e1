import { createPrivateKey, type KeyObject, randomUUID, sign, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { createAuthority } from './certificates.ts';
import type { RegistryAuth } from './registry.ts';
import type { Scope } from './scope.ts';

/** Actions (`pull`, `push`) by repository; `*` stands for every repository. */
export type Rights = Readonly<Record<string, readonly string[]>>;

export interface TokenUser {
  readonly password: string;
  /** An identity token that the user may have instead of the password. */
  readonly refreshToken?: string;
  readonly rights: Rights;
}

export interface TokenServerOptions {
  readonly users: Readonly<Record<string, TokenUser>>;
  /** What may be done without a user. */
  readonly anonymous?: Rights;
  /** Seconds; 300 by default. */
  readonly expiresIn?: number;
}

/** One request for a token. */
export interface TokenRecord {
  readonly method: 'GET' | 'POST';
  readonly grantType: string | undefined;
  /** Undefined for an anonymous request. */
  readonly user: string | undefined;
  readonly scopes: readonly string[];
  readonly status: number;
}

export interface RunningTokenServer {
  /** `http://127.0.0.1:port/token`. */
  readonly realm: string;
  /** For `startRegistry`: a registry that trusts this server's tokens. */
  readonly auth: Extract<RegistryAuth, { readonly token: object }>;
  readonly requests: readonly TokenRecord[];
}

const service = 'test registry';
const issuer = 'test token server';

/**
 * A token server as distribution's specification has it: GET (Basic or anonymous) and OAuth2's POST (password, refresh
 * token). Its RS256 tokens carry the signing certificate's chain, so that a docker-registry needs the root alone.
 */
export async function startTokenServer(scope: Scope, options: TokenServerOptions): Promise<RunningTokenServer> {
  const authority = await createAuthority(scope);
  const signer = await authority.issue('token signer');
  const certificate = new X509Certificate(await readFile(signer.certificateFile));
  const key = createPrivateKey(await readFile(signer.keyFile));
  const expiresIn = options.expiresIn ?? 300;
  const requests: TokenRecord[] = [];

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const asked = await parseRequest(request);
    const user = authenticate(options.users, asked);
    const status = user === undefined ? 401 : asked.grantType === 'unknown' ? 400 : 200;
    const name = user === 'anonymous' ? undefined : user;
    requests.push({ method: asked.method, grantType: asked.grantType, user: name, scopes: asked.scopes, status });
    if (user === undefined || status !== 200) {
      reply(response, status, { errors: [{ code: 'UNAUTHORIZED', message: 'incorrect username, password or token' }] });
      return;
    }
    const rights = name === undefined ? (options.anonymous ?? {}) : (options.users[name]?.rights ?? {});
    const access = asked.scopes.map((each) => grant(each, rights)).filter((each) => each !== undefined);
    const token = createToken({ subject: name ?? '', access, expiresIn, key, certificate });
    const shape = asked.method === 'GET' ? { token } : { access_token: token, scope: asked.scopes.join(' ') };
    reply(response, 200, { ...shape, expires_in: expiresIn, issued_at: new Date().toISOString() });
  };

  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => reply(response, 500, { errors: [{ message: String(error) }] }));
  });
  scope.defer(() => {
    server.close();
    server.closeAllConnections();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const realm = `http://127.0.0.1:${port}/token`;
  const rootCertificates = await readFile(authority.certificateFile, 'utf8');
  return { realm, auth: { token: { realm, service, issuer, rootCertificates } }, requests };
}

interface Asked {
  readonly method: 'GET' | 'POST';
  readonly grantType: string | undefined;
  readonly scopes: readonly string[];
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly refreshToken: string | undefined;
}

async function parseRequest(request: IncomingMessage): Promise<Asked> {
  if (request.method === 'POST') {
    const form = new URLSearchParams(await text(request));
    return {
      method: 'POST',
      grantType: form.get('grant_type') ?? 'unknown',
      scopes: (form.get('scope') ?? '').split(' ').filter((scope) => scope !== ''),
      username: form.get('username') ?? undefined,
      password: form.get('password') ?? undefined,
      refreshToken: form.get('refresh_token') ?? undefined,
    };
  }
  const { searchParams } = new URL(request.url ?? '/', 'http://localhost');
  const encoded = /^Basic (.*)$/.exec(request.headers.authorization ?? '')?.[1];
  const [, username, password] = /^([^:]*):(.*)$/s.exec(Buffer.from(encoded ?? '', 'base64').toString('utf8')) ?? [];
  const scopes = searchParams.getAll('scope');
  return { method: 'GET', grantType: undefined, scopes, username, password, refreshToken: undefined };
}

/** The user's name, `anonymous` without credentials, undefined with wrong ones. */
function authenticate(users: TokenServerOptions['users'], asked: Asked): string | undefined {
  if (asked.refreshToken !== undefined) {
    return Object.entries(users).find(([, user]) => user.refreshToken === asked.refreshToken)?.[0];
  }
  if (asked.username === undefined) return asked.method === 'GET' ? 'anonymous' : undefined;
  return users[asked.username]?.password === asked.password ? asked.username : undefined;
}

/** What of `repository:<name>:<actions>` the rights allow. */
function grant(scope: string, rights: Rights): { type: string; name: string; actions: string[] } | undefined {
  const [, type, name, actions] = /^([^:]+):(.+):([^:]*)$/.exec(scope) ?? [];
  if (type === undefined || name === undefined || actions === undefined) return undefined;
  const allowed = [...(rights[name] ?? []), ...(rights['*'] ?? [])];
  return { type, name, actions: actions.split(',').filter((action) => allowed.includes(action)) };
}

function createToken(options: {
  readonly subject: string;
  readonly access: readonly object[];
  readonly expiresIn: number;
  readonly key: KeyObject;
  readonly certificate: X509Certificate;
}): string {
  const now = Math.floor(Date.now() / 1000);
  const header = { typ: 'JWT', alg: 'RS256', x5c: [options.certificate.raw.toString('base64')] };
  const claims = {
    iss: issuer,
    sub: options.subject,
    aud: service,
    exp: now + options.expiresIn,
    nbf: now - 10,
    iat: now,
    jti: randomUUID(),
    access: options.access,
  };
  const signed = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
  return `${signed}.${sign('sha256', Buffer.from(signed), options.key).toString('base64url')}`;
}

function reply(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}
