import type { Logger } from '../telemetry/log.ts';
import { loadCertificates } from './tls/certificates.ts';
import type { TransferSecurity } from './transfer/listen-address.ts';

export interface SecurityConfig {
  readonly tls: 'auto' | 'off';
  readonly certificates: {
    readonly caFile?: string | undefined;
    readonly certFile?: string | undefined;
    readonly keyFile?: string | undefined;
  };
}

/**
 * What protects this node from strangers, as the configuration says. Rejects with the file and what is wrong with it: a node
 * that should prove who it is must not start without.
 */
export async function securityOf({ tls, certificates }: SecurityConfig, log: Logger): Promise<TransferSecurity> {
  if (tls === 'off') return { kind: 'off' };
  const { caFile: ca, certFile: certificate, keyFile: key } = certificates;
  if (ca === undefined || certificate === undefined || key === undefined) return { kind: 'loopback' };
  return { kind: 'tls', certificates: await loadCertificates({ files: { ca, certificate, key }, log }) };
}
