import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { WireRequest } from './types.ts';

/*
 * The server's half of signature V3, written from Alibaba Cloud's description and from nothing of the product: it works on the
 * bytes that came over the wire.
 */

export interface SignedBy {
  readonly keyId: string;
  readonly token: string | undefined;
  readonly nonce: string;
  /** Milliseconds since 1970. */
  readonly date: number;
  /** Whether the request is what the holder of `secret` signed. */
  matches(secret: string): boolean;
}

/** Who claims to have signed a request; undefined when nobody does in the form that V3 asks for. */
export function readSignature(request: WireRequest): SignedBy | undefined {
  const header = (name: string): string | undefined => request.headers.find(([key]) => key.toLowerCase() === name)?.[1];
  const pattern = /^ACS3-HMAC-SHA256 Credential=([^,]+),SignedHeaders=([a-z0-9;-]+),Signature=([0-9a-f]{64})$/;
  const [, keyId, names, signature] = pattern.exec(header('authorization') ?? '') ?? [];
  const [date, nonce, bodyHash] = [
    header('x-acs-date'),
    header('x-acs-signature-nonce'),
    header('x-acs-content-sha256'),
  ];
  if (keyId === undefined || names === undefined || signature === undefined) return undefined;
  if (date === undefined || nonce === undefined || bodyHash === undefined) return undefined;
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(date)) return undefined;
  const signed = names.split(';');
  // All of these have to be covered, and every x-acs- header that is there.
  const due = [
    'host',
    ...request.headers.map(([name]) => name.toLowerCase()).filter((name) => name.startsWith('x-acs-')),
  ];
  if (due.some((name) => !signed.includes(name)) || signed.join() !== signed.toSorted().join()) return undefined;

  const [path = '/', query = ''] = request.target.split('?', 2);
  const pairs =
    query === '' ? [] : query.split('&').map((pair) => pair.split('=', 2).map((part) => encode(decode(part))));
  const canonicalQuery = pairs
    .map(([name = '', value = '']) => [name, value] as const)
    .sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    .map(([name, value]) => `${name}=${value}`)
    .join('&');
  const canonicalHeaders = signed.map((name) => `${name}:${(header(name) ?? '').trim()}\n`).join('');
  const canonical = [request.method, path, canonicalQuery, canonicalHeaders, names, bodyHash].join('\n');
  const bodyIsSigned = hash(request.body) === bodyHash;
  return {
    keyId,
    token: header('x-acs-security-token'),
    nonce,
    date: Date.parse(date),
    matches(secret) {
      const mac = createHmac('sha256', Buffer.from(secret))
        .update(`ACS3-HMAC-SHA256\n${hash(canonical)}`)
        .digest();
      return bodyIsSigned && timingSafeEqual(mac, Buffer.from(signature, 'hex'));
    },
  };
}

function hash(text: string): string {
  return createHash('sha256').update(Buffer.from(text, 'utf8')).digest('hex');
}

function decode(text: string): Buffer {
  const bytes: number[] = [];
  for (let at = 0; at < text.length; at += 1) {
    if (text[at] === '%') {
      bytes.push(Number.parseInt(text.slice(at + 1, at + 3), 16));
      at += 2;
    } else bytes.push(text.charCodeAt(at));
  }
  return Buffer.from(bytes);
}

/** RFC 3986: only unreserved characters stay. */
function encode(bytes: Buffer): string {
  return [...bytes]
    .map((byte) => {
      const character = String.fromCharCode(byte);
      return /[A-Za-z0-9\-._~]/.test(character) ? character : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
    })
    .join('');
}
