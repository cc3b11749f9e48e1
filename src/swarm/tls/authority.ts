import { createPrivateKey, generateKeyPairSync, type KeyObject, X509Certificate } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import path from 'node:path';
import { createNodeCertificate, createRootCertificate, type Issuer } from './certificate.ts';
import { type NewFile, replaceFiles, writeNewFiles } from './new-files.ts';
import { reasonToRenew } from './renewal.ts';

/** The files of a cluster's certificate authority, in the folder that its administrator keeps. */
export const authorityFiles = { certificate: 'ca.crt', key: 'ca.key' } as const;

export interface InitOptions {
  readonly directory: string;
  readonly days?: number;
  readonly now?: Date;
}

export interface IssueOptions {
  /** Where the authority's files are. */
  readonly directory: string;
  /** Where to write `<name>.crt` and `<name>.key`. */
  readonly output: string;
  /** The node's name in Kubernetes: its id in the swarm. */
  readonly name: string;
  /** Further names: IP addresses and DNS names that peers dial. */
  readonly addresses: readonly string[];
  readonly days?: number;
  /**
   * Days. Files that are there stay while they serve: from this authority, with these names, and valid for so long. Else they
   * are replaced. Without it they are never replaced.
   */
  readonly renewBefore?: number;
  readonly now?: Date;
}

export interface IssuedFiles {
  readonly certificate: string;
  readonly key: string;
  readonly notAfter: Date;
  /** False: those that were there serve still (`renewBefore`). */
  readonly isNew: boolean;
}

/** A new authority that is in no file. */
export interface Authority {
  /** PEM. */
  readonly certificate: string;
  /** PEM, PKCS #8. */
  readonly key: string;
  readonly notAfter: Date;
}

const dayLength = 24 * 3600 * 1000;
/** Ten years: as long as a cluster lives, because every node has to be given a new one when it ends. */
const authorityDays = 3650;
/** A year: issuing again is one command, and agents take the new files without a restart. */
const nodeDays = 365;
const mostDays = 36_500;
/** A certificate is valid at once on nodes whose clock is behind. */
const clockSkew = 3600 * 1000;
/** RFC 5280, ub-common-name. */
const longestName = 64;
const dnsName = /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/i;

/** Makes an authority's key and certificate. */
export function createAuthority({ days = authorityDays, now = new Date() }: Omit<InitOptions, 'directory'>): Authority {
  const validity = validFor(days, now);
  const { publicKey, privateKey } = newKeys();
  const certificate = createRootCertificate({ name: 'Shoal CA', publicKey, ...validity }, privateKey);
  return { certificate: certificate.toString(), key: pemOf(privateKey), notAfter: validity.notAfter };
}

/** Makes the authority: a key (0600) and its certificate. Rejects where one is there already: nodes trust that. */
export async function initAuthority(options: InitOptions): Promise<IssuedFiles> {
  const { directory } = options;
  const { certificate, key, notAfter } = createAuthority(options);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const files = {
    certificate: path.join(directory, authorityFiles.certificate),
    key: path.join(directory, authorityFiles.key),
  };
  const mend = 'an authority is there already: nodes trust it. Choose another --dir';
  await writeNewFiles(pair(files, certificate, key), mend);
  return { ...files, notAfter, isNew: true };
}

/** Issues a node's certificate and its key (0600). Where there are files of that name: see `renewBefore`, or rejects. */
export async function issueCertificate(options: IssueOptions): Promise<IssuedFiles> {
  const { directory, output, name, days = nodeDays, now = new Date() } = options;
  if (!dnsName.test(name) || name.length > longestName) {
    throw new Error(`'${name}' can't be a node's name: a DNS name of at most ${longestName} characters`);
  }
  const wrong = options.addresses.find((address) => isIP(address) === 0 && !dnsName.test(address));
  if (wrong !== undefined) throw new Error(`'${wrong}' is neither an IP address nor a DNS name`);
  const issuer = await readAuthority(directory);
  const files = { certificate: path.join(output, `${name}.crt`), key: path.join(output, `${name}.key`) };
  const { renewBefore } = options;
  if (renewBefore !== undefined) {
    if (!(renewBefore >= 0 && renewBefore < days)) {
      throw new Error(`a certificate for ${days} days can't be renewed ${renewBefore} days before its end`);
    }
    const until = new Date(now.getTime() + renewBefore * dayLength);
    const there = await readPair(files);
    const wanted = { authority: issuer.certificate, name, addresses: options.addresses, until };
    if (there && reasonToRenew(there, wanted) === undefined) {
      return { ...files, notAfter: there.validToDate, isNew: false };
    }
  }
  const validity = validFor(days, now);
  const until = issuer.certificate.validToDate;
  if (validity.notAfter > until) {
    throw new Error(`the authority is valid until ${until.toISOString()}, less than ${days} days: lower --days`);
  }
  const { publicKey, privateKey } = newKeys();
  const request = { name, publicKey, ...validity };
  const certificate = createNodeCertificate(request, [...new Set([name, ...options.addresses])], issuer);
  if (!certificate.checkIssued(issuer.certificate) || !certificate.verify(issuer.certificate.publicKey)) {
    throw new Error(`${directory}: not an authority made by shoal certs init: its certificate can't be built upon`);
  }
  await mkdir(output, { recursive: true, mode: 0o700 });
  const written = pair(files, certificate.toString(), pemOf(privateKey));
  if (renewBefore === undefined) await writeNewFiles(written, 'remove the old one first, or choose another --out');
  else await replaceFiles(written);
  return { ...files, notAfter: validity.notAfter, isNew: true };
}

/** The certificate that is there; undefined when it, or its key, is missing or no use. */
async function readPair(files: {
  readonly certificate: string;
  readonly key: string;
}): Promise<X509Certificate | undefined> {
  try {
    const certificate = new X509Certificate(await readFile(files.certificate));
    return certificate.checkPrivateKey(createPrivateKey(await readFile(files.key))) ? certificate : undefined;
  } catch {
    // Missing, cut off, not PEM: a new one is what mends it.
    return undefined;
  }
}

async function readAuthority(directory: string): Promise<Issuer> {
  const read = async (name: string): Promise<Buffer> => {
    const file = path.join(directory, name);
    try {
      return await readFile(file);
    } catch (error) {
      throw new Error(`${file}: ${(error as Error).message}. \`shoal certs init\` makes an authority`, {
        cause: error,
      });
    }
  };
  const certificate = new X509Certificate(await read(authorityFiles.certificate));
  const privateKey = createPrivateKey(await read(authorityFiles.key));
  if (!certificate.ca) throw new Error(`${directory}: ${authorityFiles.certificate} is not an authority's certificate`);
  if (!certificate.checkPrivateKey(privateKey)) {
    throw new Error(`${directory}: ${authorityFiles.key} is not the key of ${authorityFiles.certificate}`);
  }
  return { certificate, privateKey };
}

function validFor(days: number, now: Date): { readonly notBefore: Date; readonly notAfter: Date } {
  if (!Number.isInteger(days) || days < 1 || days > mostDays) {
    throw new Error(`a certificate can't be valid for ${days} days: 1 to ${mostDays}`);
  }
  return { notBefore: new Date(now.getTime() - clockSkew), notAfter: new Date(now.getTime() + days * dayLength) };
}

function newKeys(): { readonly publicKey: KeyObject; readonly privateKey: KeyObject } {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' });
}

function pemOf(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString();
}

function pair(
  files: { readonly certificate: string; readonly key: string },
  certificate: string,
  key: string,
): NewFile[] {
  return [
    { file: files.key, text: key, mode: 0o600 },
    { file: files.certificate, text: certificate, mode: 0o644 },
  ];
}
