import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { run } from './process.ts';
import type { Scope } from './scope.ts';
import { temporaryFolder } from './temp.ts';

export interface IssuedCertificate {
  /** PEM files. */
  readonly certificateFile: string;
  readonly keyFile: string;
}

export interface CertificateAuthority {
  /** PEM file of the CA's own certificate. */
  readonly certificateFile: string;
  /**
   * Issues a certificate that lasts a day. `name` is its common name; `alternatives` are subjectAltName entries
   * (`DNS:localhost`, `IP:127.0.0.1`), `extensions` further lines for openssl (`extendedKeyUsage=serverAuth`).
   */
  issue(name: string, alternatives?: readonly string[], extensions?: readonly string[]): Promise<IssuedCertificate>;
}

/** Makes a CA in a folder of its own, gone with the scope. Keys are RSA: docker-registry's tokens are signed with RS256. */
export async function createAuthority(scope: Scope): Promise<CertificateAuthority> {
  const folder = await temporaryFolder(scope, 'ca');
  const file = (name: string) => path.join(folder, name);
  const request = ['openssl', 'req', '-newkey', 'rsa:2048', '-nodes', '-sha256'] as const;
  const ca = { certificateFile: file('ca.pem'), keyFile: file('ca.key') };
  const caOptions = ['-x509', '-days', '1', '-subj', '/CN=test CA', '-addext', 'keyUsage=critical,keyCertSign,cRLSign'];
  await run([...request, ...caOptions, '-keyout', ca.keyFile, '-out', ca.certificateFile]);
  return {
    certificateFile: ca.certificateFile,
    async issue(name, alternatives = [], more = []) {
      const issued = { certificateFile: file(`${name}.pem`), keyFile: file(`${name}.key`) };
      const signingRequest = file(`${name}.csr`);
      const extensions = file(`${name}.ext`);
      const names = alternatives.length === 0 ? [] : [`subjectAltName=${alternatives.join(',')}`];
      await writeFile(extensions, ['basicConstraints=CA:FALSE', ...names, ...more, ''].join('\n'));
      await run([...request, '-subj', `/CN=${name}`, '-keyout', issued.keyFile, '-out', signingRequest]);
      const authority = ['-CA', ca.certificateFile, '-CAkey', ca.keyFile, '-CAcreateserial'];
      const output = ['-days', '1', '-sha256', '-extfile', extensions, '-out', issued.certificateFile];
      await run(['openssl', 'x509', '-req', '-in', signingRequest, ...authority, ...output]);
      return issued;
    },
  };
}
