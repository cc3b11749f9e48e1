import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { LOOPBACK_SECRET_HEADER } from '../config/loopback.ts';
import type { Requester } from '../pull/types.ts';
import type { Repository } from '../registry/types.ts';

const secretHeader = LOOPBACK_SECRET_HEADER.toLowerCase();

export interface RequesterOptions {
  /** What the runtime's configuration sends in `X-Shoal-Secret`. */
  readonly secret: string;
  /** Whether requests of the path form, which can't carry the secret, count as the runtime's. */
  readonly pathFormSessions: boolean;
}

/** Tells who asks, from a request's headers and the form of its path. */
export function createIdentifier({ secret, pathFormSessions }: RequesterOptions) {
  const expected = hash(secret);
  return (request: IncomingMessage, { registry, repository }: Repository, form: 'ns' | 'path'): Requester => {
    const { authorization } = request.headers;
    const runtime = (form === 'path' && pathFormSessions) || hasSecret(request.headers[secretHeader]);
    const accept = (request.headersDistinct.accept ?? []).flatMap((line) =>
      line.split(',').map((value) => value.trim()),
    );
    return {
      registry,
      repository,
      runtime,
      accept: accept.filter(Boolean),
      ...(authorization !== undefined && { authorization }),
    };
  };

  /** Hashes have one length and are compared in constant time: the answer's delay tells nothing about the secret. */
  function hasSecret(given: string | string[] | undefined): boolean {
    return typeof given === 'string' && timingSafeEqual(hash(given), expected);
  }
}

function hash(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
