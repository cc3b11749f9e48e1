import type { ConnectionOptions } from 'node:tls';
import { affinity, hashString } from '../hash.ts';
import type { Member } from '../membership/types.ts';
import { namesAnyOf } from '../tls/names.ts';
import type { TransferSecurity } from '../transfer/listen-address.ts';

/** A mirror through which a registry is reached. */
export interface TunnelRoute {
  /** The mirror's URL. */
  readonly url: string;
  /** How the mirror is asked to prove who it is, and this node proves who it is; absent without TLS. */
  readonly tls?: Pick<ConnectionOptions, 'secureContext' | 'checkServerIdentity'>;
}

/** The mirror for a registry's host: each host has its own order of them, so that mirrors share the work. */
export function routeThrough(
  mirrors: readonly Member[],
  host: string,
  security: TransferSecurity,
): TunnelRoute | undefined {
  const key = hashString(host);
  let best: { readonly mirror: Member; readonly score: number } | undefined;
  for (const mirror of mirrors) {
    const score = affinity(hashString(mirror.id), key);
    if (best === undefined || score > best.score) best = { mirror, score };
  }
  if (best === undefined) return undefined;
  const { id, address } = best.mirror;
  if (security.kind !== 'tls') return { url: `http://${address}` };
  return {
    url: `https://${address}`,
    tls: {
      secureContext: security.certificates.clientContext,
      checkServerIdentity: (dialled, certificate) => namesAnyOf(certificate, [id, dialled]),
    },
  };
}
