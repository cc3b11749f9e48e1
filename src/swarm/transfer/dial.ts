import { connect as connectTcp, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { parseAddress } from '../../config/address.ts';
import type { Peer } from '../messages.ts';
import type { PeerCertificates } from '../tls/certificates.ts';
import { namesAnyOf } from '../tls/names.ts';
import type { ReadInto } from './connection.ts';
import { TransferError } from './types.ts';

export interface DialOptions {
  /** Reads into memory of the caller's. */
  readonly onread?: ReadInto;
  /** What is going to be spoken, for the TLS handshake; HTTP/1.1 by default. */
  readonly protocol?: 'h2';
  readonly certificates?: PeerCertificates;
}

/**
 * Opens a socket to a peer. With certificates: mutual TLS, and the peer's certificate has to name its member id or the host
 * that is dialled. Throws a `TransferError` for an address that is none.
 */
export function dial(peer: Peer, { onread, protocol, certificates }: DialOptions): Socket {
  const address = parseAddress(peer.address);
  if (address === undefined) throw new TransferError('unreachable', `${peer.id}: '${peer.address}' is not host:port`);
  if (certificates === undefined) return connectTcp({ ...address, ...(onread && { onread }) });
  // Documented for tls.connect, but @types/node 24 has `onread` for net.connect alone.
  const options: ConnectionOptions & { readonly onread?: ReadInto } = {
    ...address,
    ...(onread && { onread }),
    ...(protocol && { ALPNProtocols: [protocol] }),
    secureContext: certificates.clientContext,
    checkServerIdentity: (host, certificate) => namesAnyOf(certificate, [peer.id, host]),
  };
  return connectTls(options);
}
