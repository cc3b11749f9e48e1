import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { headersType, mendHeaders } from './authority-mender.ts';
import { AuthorityStream } from './authority-stream.ts';

/** The client's connection preface (RFC 9113, section 3.4). */
const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');
const frameHeaderLength = 9;
const windowUpdateType = 0x8;
const settingsType = 0x4;
/** A SETTINGS frame without a setting: all defaults. */
const emptySettings = Buffer.from([0, 0, 0, settingsType, 0, 0, 0, 0, 0]);
/** What a client says to that (section 6.5). */
const acknowledgement = Buffer.from([0, 0, 0, settingsType, 1, 0, 0, 0, 0]);
/** What comes before the first call, and that call's headers, have a few hundred bytes. */
const longest = 16 * 1024;

/**
 * How a client begins, as far as it matters. `plain`: its first call needs no mending, and neither will the others, since a gRPC
 * channel has one authority; `bytes` is all that came, without the acknowledgement of our first SETTINGS. `mend`: anything else.
 */
export type Opening = { readonly kind: 'undecided' | 'mend' } | { readonly kind: 'plain'; readonly bytes: Buffer };

/** Judges what a client has sent so far. Pure; leaves the bytes as they are. */
export function judgeOpening(bytes: Buffer): Opening {
  const begun = Math.min(bytes.length, preface.length);
  if (!bytes.subarray(0, begun).equals(preface.subarray(0, begun)) || bytes.length > longest) return { kind: 'mend' };
  let acknowledged: number | undefined;
  let at = preface.length;
  while (bytes.length - at >= frameHeaderLength) {
    const type = bytes[at + 3];
    if (type === headersType) return judgeHeaders(bytes, at, acknowledged);
    // A PING, or whatever else wants an answer, must not wait for the client's first call.
    if (type !== settingsType && type !== windowUpdateType) return { kind: 'mend' };
    if (bytes.subarray(at, at + frameHeaderLength).equals(acknowledgement)) acknowledged ??= at;
    at += frameHeaderLength + bytes.readUIntBE(at, 3);
  }
  return { kind: 'undecided' };
}

function judgeHeaders(bytes: Buffer, at: number, acknowledged: number | undefined): Opening {
  const block = Buffer.from(bytes.subarray(at));
  const end = mendHeaders(block, 0);
  if (end === undefined) return { kind: 'undecided' };
  if (acknowledged === undefined || !block.equals(bytes.subarray(at))) return { kind: 'mend' };
  const rest = bytes.subarray(acknowledged + frameHeaderLength);
  return { kind: 'plain', bytes: Buffer.concat([bytes.subarray(0, acknowledged), rest]) };
}

/**
 * Calls `ready` with the client's connection as the HTTP/2 server may have it. A client whose authority is valid gets the socket
 * itself served, which costs a fifth less of the proxy's CPU than a stream between them. To learn which it is we have to see its
 * first call, and many clients send none before they have seen the server's SETTINGS: so an empty one goes ahead of the
 * session's own, and its acknowledgement is taken out.
 */
export function openConnection(socket: Socket, ready: (connection: Duplex) => void): void {
  let bytes = Buffer.alloc(0);
  const take = (chunk: Buffer): void => {
    bytes = Buffer.concat([bytes, chunk]);
    const opening = judgeOpening(bytes);
    if (opening.kind === 'undecided') return;
    socket.off('data', take);
    socket.pause();
    socket.unshift(opening.kind === 'plain' ? opening.bytes : bytes);
    // At once: what comes from now on belongs to whoever takes the connection.
    ready(opening.kind === 'plain' ? socket : new AuthorityStream(socket));
  };
  socket.on('data', take);
  // A connection that breaks is one that ends: 'close' follows.
  socket.on('error', () => undefined);
  socket.write(emptySettings);
}
