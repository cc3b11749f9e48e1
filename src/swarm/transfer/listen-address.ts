import { isIP } from 'node:net';
import type { PeerCertificates } from '../tls/certificates.ts';

/** What protects the pieces from strangers. */
export type TransferSecurity =
  /** Mutual TLS. */
  | { readonly kind: 'tls'; readonly certificates: PeerCertificates }
  /** `p2p.tls: off`: an administrator says in so many words that the network is trusted. */
  | { readonly kind: 'off' }
  /** Neither: nothing outside of this machine is served. */
  | { readonly kind: 'loopback' };

const loopback = '127.0.0.1';

/** Where to listen; undefined: on every address, IPv6 and IPv4. Throws where `host` would serve strangers without anybody having allowed it. */
export function listenAddress({ kind }: TransferSecurity, host?: string): string | undefined {
  if (kind !== 'loopback') return host;
  if (host === undefined || isLoopback(host)) return host ?? loopback;
  throw new RangeError(
    `pieces would be served to everybody who reaches ${host}. Give the agent certificates (shoal certs), or set p2p.tls: off where the network is trusted`,
  );
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}
