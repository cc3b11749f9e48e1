import type { PeerCertificate } from 'node:tls';
import ipaddr from 'ipaddr.js';
import { parseAddress } from '../../config/address.ts';

/**
 * The names that a peer's certificate proves: its DNS names and IP addresses (subjectAltName). The common name is for people;
 * `shoal certs issue` writes the node's name into both.
 */
export function certificateNames(certificate: Pick<PeerCertificate, 'subjectaltname'>): ReadonlySet<string> {
  const names = new Set<string>();
  // Quotes mark a name with characters that could be taken for the list's own (CVE-2021-44532): none of ours has them.
  for (const entry of (certificate.subjectaltname ?? '').split(', ')) {
    const [, kind, name] = /^(DNS|IP Address):([^"]+)$/.exec(entry) ?? [];
    if (kind !== undefined && name !== undefined) names.add(normalized(name));
  }
  return names;
}

/** For `checkServerIdentity`: an error unless the certificate names one of `expected` (member ids, hosts). */
export function namesAnyOf(
  certificate: Pick<PeerCertificate, 'subjectaltname'>,
  expected: readonly string[],
): Error | undefined {
  const names = certificateNames(certificate);
  if (expected.some((name) => names.has(normalized(name)))) return undefined;
  return new Error(`its certificate names ${[...names].join(', ') || 'nobody'}, not ${expected.join(' or ')}`);
}

/**
 * The names of which a member's certificate must have one: its id; where that is `host:port`, as in static lists and DNS, the
 * host, because certificates know no ports.
 */
export function memberNames(id: string): string[] {
  const host = parseAddress(id)?.host;
  return host === undefined ? [id] : [id, host];
}

/** One way of writing an address: OpenSSL prints IPv6 in full. */
function normalized(name: string): string {
  return ipaddr.isValid(name) ? ipaddr.parse(name).toNormalizedString() : name.toLowerCase();
}
