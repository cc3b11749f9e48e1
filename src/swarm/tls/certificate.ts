import { createHash, type KeyObject, randomBytes, sign, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';
import {
  bitString,
  booleanTrue,
  content,
  elements,
  integer,
  octetString,
  oid,
  sequence,
  setOf,
  tagged,
  time,
  utf8String,
} from './der.ts';

/** X.509 certificates as RFC 5280 has them, for keys on the curve P-256. */

export interface CertificateRequest {
  /** Becomes the subject's common name. */
  readonly name: string;
  readonly publicKey: KeyObject;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

export interface Issuer {
  readonly certificate: X509Certificate;
  readonly privateKey: KeyObject;
}

const ecdsaWithSha256 = sequence(oid('1.2.840.10045.4.3.2'));
const version3 = tagged(0, integer(Buffer.of(2)), true);
/** Bits of KeyUsage (RFC 5280 §4.2.1.3), as the first byte of a bit string and how many of its last bits are unused. */
const signsCertificates = bitString(Buffer.of(0b0000_0110), 1);
const signsMessages = bitString(Buffer.of(0b1000_0000), 7);

/** A certificate that signs others, itself included. */
export function createRootCertificate(request: CertificateRequest, privateKey: KeyObject): X509Certificate {
  const subject = commonName(request.name);
  const keyId = keyIdentifier(request.publicKey);
  // No further authority below it.
  const constraints = sequence(booleanTrue, integer(Buffer.of(0)));
  const extensions = [
    extension('2.5.29.19', constraints, true),
    extension('2.5.29.15', signsCertificates, true),
    extension('2.5.29.14', octetString(keyId)),
  ];
  return signed(request, { issuer: subject, subject, extensions, privateKey });
}

/** A node's certificate: for both ends of TLS, with `addresses` (DNS names and IP addresses) as its alternative names. */
export function createNodeCertificate(
  request: CertificateRequest,
  addresses: readonly string[],
  issuer: Issuer,
): X509Certificate {
  const authority = tagged(0, keyIdentifier(issuer.certificate.publicKey), false);
  const extensions = [
    extension('2.5.29.19', sequence(), true),
    extension('2.5.29.15', signsMessages, true),
    extension('2.5.29.37', sequence(oid('1.3.6.1.5.5.7.3.1'), oid('1.3.6.1.5.5.7.3.2'))),
    extension('2.5.29.14', octetString(keyIdentifier(request.publicKey))),
    extension('2.5.29.35', sequence(authority)),
    extension('2.5.29.17', sequence(...addresses.map(alternativeName))),
  ];
  const names = { issuer: subjectOf(issuer.certificate), subject: commonName(request.name) };
  return signed(request, { ...names, extensions, privateKey: issuer.privateKey });
}

interface Signing {
  readonly issuer: Buffer;
  readonly subject: Buffer;
  readonly extensions: readonly Buffer[];
  readonly privateKey: KeyObject;
}

function signed(request: CertificateRequest, { issuer, subject, extensions, privateKey }: Signing): X509Certificate {
  const toBeSigned = sequence(
    version3,
    // Unguessable, unique without a register, and at most 20 bytes (§4.1.2.2).
    integer(randomBytes(16)),
    ecdsaWithSha256,
    issuer,
    sequence(time(request.notBefore), time(request.notAfter)),
    subject,
    request.publicKey.export({ type: 'spki', format: 'der' }),
    tagged(3, sequence(...extensions), true),
  );
  const signature = sign('sha256', toBeSigned, privateKey);
  return new X509Certificate(sequence(toBeSigned, ecdsaWithSha256, bitString(signature)));
}

function extension(id: string, value: Buffer, critical = false): Buffer {
  return sequence(oid(id), ...(critical ? [booleanTrue] : []), octetString(value));
}

function commonName(name: string): Buffer {
  return sequence(setOf(sequence(oid('2.5.4.3'), utf8String(name))));
}

/** GeneralName: an address in its bytes, or a DNS name. */
function alternativeName(name: string): Buffer {
  if (isIP(name) === 0) return tagged(2, Buffer.from(name, 'ascii'), false);
  return tagged(7, Buffer.from(ipaddr.parse(name).toByteArray()), false);
}

/** SHA-1 over the key's bits, as §4.2.1.2 (1) proposes: a name for the key, not a proof of anything. */
function keyIdentifier(publicKey: KeyObject): Buffer {
  const [, bits = Buffer.alloc(0)] = elements(content(publicKey.export({ type: 'spki', format: 'der' })));
  return createHash('sha1').update(content(bits).subarray(1)).digest();
}

/** The subject's bytes as they stand in the certificate: the issuer of what it signs has to be the same (§4.1.2.4). */
function subjectOf(certificate: X509Certificate): Buffer {
  const [toBeSigned = Buffer.alloc(0)] = elements(content(certificate.raw));
  const [, , , , , subject] = elements(content(toBeSigned));
  if (subject === undefined) throw new Error('the certificate of the authority has no subject');
  return subject;
}
