import { createHash, randomBytes } from 'node:crypto';
import { parseRegistry } from './reference.ts';
import { type AuthConfig, type Credentials, RegistryError } from './types.ts';

/** Docker's configuration files have carried secrets of some KiB (cloud tokens); nobody's is larger than this. */
const maxSecretLength = 64 * 1024;

/**
 * The credentials in CRI's AuthConfig, in containerd's order: name and password, identity token, `auth`, and last the
 * registry token, which containerd does not read. Anonymous when all are empty, and when `serverAddress` names another
 * registry than the one asked: secrets go to their own registry alone. Throws a `RegistryError` of kind `invalid`
 * that says which field is wrong, never its value.
 */
export function credentialsFromAuthConfig(auth: AuthConfig | undefined, registry: string): Credentials {
  if (auth === undefined) return { kind: 'anonymous' };
  const { username = '', password = '', identityToken = '', registryToken = '', serverAddress = '' } = auth;
  for (const [field, value] of Object.entries(auth)) {
    if (value.length > maxSecretLength) throw invalid(`${field} has more than ${maxSecretLength} characters`);
  }
  if (serverAddress !== '' && registryOfServerAddress(serverAddress) !== registry) return { kind: 'anonymous' };
  // docker writes a name without a password beside an identity token: the token is what counts then.
  if (username !== '' && (password !== '' || identityToken === '')) return basic(username, password);
  if (identityToken !== '') return { kind: 'identity-token', token: identityToken };
  if (auth.auth) return decodeBasic(auth.auth);
  if (registryToken !== '') return { kind: 'registry-token', token: registryToken };
  return { kind: 'anonymous' };
}

/** Credentials as they would come with a pod's pull: the reverse of `credentialsFromAuthConfig`. */
export function authConfigOf(credentials: Credentials): AuthConfig {
  switch (credentials.kind) {
    case 'anonymous':
      return {};
    case 'basic':
      return { username: credentials.username, password: credentials.password };
    case 'identity-token':
      return { identityToken: credentials.token };
    case 'registry-token':
      return { registryToken: credentials.token };
    case 'authorization':
      throw new Error('an Authorization header is no login');
  }
}

const salt = randomBytes(32);

/**
 * A key that is the same for the same credentials during this process' life, and tells nothing about them: SHA-256
 * with a random salt. For maps and logs.
 */
export function credentialsKey(credentials: Credentials): string {
  const hash = createHash('sha256').update(salt);
  // Lengths keep ("ab", "c") apart from ("a", "bc").
  for (const part of Object.values(credentials)) hash.update(`${part.length}:`).update(part);
  return hash.digest('base64url');
}

/** The value of an `Authorization` header for name and password (RFC 7617, UTF-8). */
export function basicAuthorization(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`, 'utf8').toString('base64')}`;
}

function decodeBasic(auth: string): Credentials {
  if (!/^[A-Za-z0-9+/_-]+={0,2}\s*$/.test(auth)) throw invalid('auth is not base64 of username:password');
  const decoded = Buffer.from(auth, 'base64').toString('utf8');
  const colon = decoded.indexOf(':');
  if (colon < 0) throw invalid('auth, decoded, has no colon between a user name and a password');
  // Old docker configurations pad the password with NUL bytes; containerd trims them too.
  return basic(decoded.slice(0, colon), decoded.slice(colon + 1).replace(/\0+$/, ''));
}

function basic(username: string, password: string): Credentials {
  // RFC 7617 section 2: a colon would end the name early, and the registry would see another user.
  if (username.includes(':')) throw invalid('the user name contains a colon');
  return { kind: 'basic', username, password };
}

/** docker's server addresses are URLs (`https://index.docker.io/v1/`) or bare hosts. */
function registryOfServerAddress(address: string): string {
  const authority = /^(?:https?:\/\/)?([^/]*)/i.exec(address)?.[1] ?? '';
  try {
    return parseRegistry(authority);
  } catch (cause) {
    throw new RegistryError('invalid', 'AuthConfig: server_address is neither a URL nor host[:port]', { cause });
  }
}

function invalid(cause: string): RegistryError {
  return new RegistryError('invalid', `AuthConfig: ${cause}`);
}
