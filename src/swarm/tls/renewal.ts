import type { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';

export interface Wanted {
  /** The authority that should have issued it. */
  readonly authority: X509Certificate;
  readonly name: string;
  readonly addresses: readonly string[];
  /** It should be valid at this time still. */
  readonly until: Date;
}

/** Why a certificate should be replaced, in words; undefined while it serves. */
export function reasonToRenew(certificate: X509Certificate, wanted: Wanted): string | undefined {
  const { authority, name, addresses, until } = wanted;
  if (!certificate.checkIssued(authority) || !certificate.verify(authority.publicKey)) {
    return 'it is from another authority';
  }
  if (certificate.validToDate < until) return `it ends on ${certificate.validToDate.toISOString().slice(0, 10)}`;
  const missing = [name, ...addresses].find((each) =>
    isIP(each) === 0 ? certificate.checkHost(each) === undefined : certificate.checkIP(each) === undefined,
  );
  return missing === undefined ? undefined : `it does not name ${missing}`;
}
