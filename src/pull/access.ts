import { basicAuthorization } from '../registry/credentials.ts';
import type { Credentials } from '../registry/types.ts';
import type { Requester } from './types.ts';

/** What the decision needs to know of an open pull session. */
export interface AccessSession {
  readonly credentials: Credentials;
  /** Equal for equal credentials, different otherwise. */
  readonly credentialsKey: string;
  /** The runtime's own pull failed once: the mirror stays out of its way. */
  readonly fallenBack: boolean;
}

export type Access<S extends AccessSession> =
  /** On the session's credentials and its checked manifest. */
  | { readonly kind: 'session'; readonly session: S }
  /** On what the request itself brought, or anonymously. */
  | { readonly kind: 'own'; readonly credentials: Credentials }
  /** The runtime shall go to the origin. */
  | { readonly kind: 'stay-out' }
  /** It must say whose pull it is. */
  | { readonly kind: 'challenge' };

/**
 * On whose credentials a request to the mirror is answered. Only the runtime (which proves itself with the loopback
 * secret) may ride on a session's credentials: any other process on the node could otherwise read private images while
 * they are pulled. When sessions with different credentials are open for the repository, the runtime has to say for
 * which it asks: one pod must not profit from another one's secret.
 */
export function decideAccess<S extends AccessSession>(requester: Requester, sessions: readonly S[]): Access<S> {
  const own = ownCredentials(requester);
  const [first] = sessions;
  if (!requester.runtime || first === undefined) return { kind: 'own', credentials: own };
  if (sessions.some((session) => session.fallenBack)) return { kind: 'stay-out' };
  if (sessions.every((session) => session.credentialsKey === first.credentialsKey)) {
    return { kind: 'session', session: first };
  }
  if (own.kind === 'anonymous') return { kind: 'challenge' };
  const match = sessions.find((session) => basicHeader(session.credentials) === requester.authorization);
  return match === undefined ? { kind: 'own', credentials: own } : { kind: 'session', session: match };
}

/** A Basic header is taken apart, so that it also serves at a registry that wants it exchanged for a token. */
function ownCredentials({ authorization }: Requester): Credentials {
  if (authorization === undefined) return { kind: 'anonymous' };
  const [, encoded] = /^Basic ([A-Za-z0-9+/]+=*)$/i.exec(authorization) ?? [];
  const decoded = Buffer.from(encoded ?? '', 'base64').toString();
  const colon = decoded.indexOf(':');
  if (colon <= 0) return { kind: 'authorization', header: authorization };
  return { kind: 'basic', username: decoded.slice(0, colon), password: decoded.slice(colon + 1) };
}

/** The header by which the runtime answers a Basic challenge with these credentials. */
function basicHeader(credentials: Credentials): string | undefined {
  return credentials.kind === 'basic' ? basicAuthorization(credentials.username, credentials.password) : undefined;
}
