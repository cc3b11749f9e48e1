import path from 'node:path';
import { initAuthority, issueCertificate } from '../../src/swarm/tls/authority.ts';
import { type CertificateFiles, loadCertificates, type PeerCertificates } from '../../src/swarm/tls/certificates.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import type { Scope } from './scope.ts';
import { temporaryFolder } from './temp.ts';

const log = createLogger({ name: 'test', level: 'silent' });

/** An authority of a swarm, in a folder of its own. */
export class SwarmAuthority {
  readonly #scope: Scope;
  readonly #directory: string;

  private constructor(scope: Scope, directory: string) {
    this.#scope = scope;
    this.#directory = directory;
  }

  static async create(scope: Scope): Promise<SwarmAuthority> {
    const directory = await temporaryFolder(scope, 'authority');
    await initAuthority({ directory });
    return new SwarmAuthority(scope, directory);
  }

  /** The certificates of a node of that name, loaded. */
  async issue(name: string, addresses?: readonly string[]): Promise<PeerCertificates> {
    const files = await this.issueFiles(name, addresses);
    const certificates = await loadCertificates({ files, log });
    this.#scope.defer(() => certificates.close());
    return certificates;
  }

  /** Their files. */
  async issueFiles(name: string, addresses: readonly string[] = ['127.0.0.1']): Promise<CertificateFiles> {
    const output = await temporaryFolder(this.#scope, name);
    const { certificate, key } = await issueCertificate({
      directory: this.#directory,
      output,
      name,
      addresses,
      days: 1,
      now: new Date(),
    });
    return { ca: path.join(this.#directory, 'ca.crt'), certificate, key };
  }
}
