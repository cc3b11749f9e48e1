import path from 'node:path';
import { type IssuedFiles, initAuthority, issueCertificate } from '../swarm/tls/authority.ts';
import { createAuthoritySecret } from './authority-secret.ts';
import { createClient } from './cluster.ts';
import { UsageError } from './exit-codes.ts';
import { type OutputFormat, print } from './output.ts';

interface InitOptions {
  readonly dir?: string;
  readonly secret?: string;
  readonly namespace?: string;
  readonly kubeconfig?: string;
  readonly days?: number;
  readonly output: OutputFormat;
}

interface IssueOptions {
  readonly dir: string;
  readonly days?: number;
  readonly renewBefore?: number;
  readonly name: string;
  readonly address?: readonly string[];
  readonly out?: string;
  readonly output: OutputFormat;
}

/** `shoal certs init`. */
export async function init(options: InitOptions): Promise<void> {
  const { dir, secret, days, output } = options;
  if (secret !== undefined && dir === undefined) return initSecret(secret, options);
  if (secret !== undefined || dir === undefined) {
    throw new UsageError('either --dir or --secret says where the authority goes');
  }
  const files = await initAuthority({ directory: path.resolve(dir), ...(days === undefined ? {} : { days }) });
  const advice = 'keep the key off the nodes: whoever has it can join the swarm';
  print(output, `${describe(files)}\n${advice}`, files);
}

/** Milliseconds for one request and its answer, twice. */
const apiTimeMs = 60_000;

async function initSecret(name: string, options: InitOptions): Promise<void> {
  const { namespace, kubeconfig, days, output } = options;
  if (namespace === undefined) throw new UsageError('--secret needs --namespace');
  const client = createClient(kubeconfig);
  try {
    const signal = AbortSignal.timeout(apiTimeMs);
    const made = await createAuthoritySecret({
      client,
      namespace,
      name,
      signal,
      ...(days === undefined ? {} : { days }),
    });
    print(output, `${made.isNew ? 'created' : 'kept'} the secret ${namespace}/${name}`, made);
  } finally {
    await client.close();
  }
}

/** `shoal certs issue`. */
export async function issue(options: IssueOptions): Promise<void> {
  const { dir, out, name, address, days, renewBefore, output } = options;
  const files = await issueCertificate({
    directory: path.resolve(dir),
    output: path.resolve(out ?? dir),
    name,
    addresses: address ?? [],
    ...(days === undefined ? {} : { days }),
    ...(renewBefore === undefined ? {} : { renewBefore }),
  });
  print(output, describe(files), files);
}

function describe({ certificate, key, notAfter, isNew }: IssuedFiles): string {
  const verb = isNew ? 'wrote' : 'kept';
  return `${verb} ${certificate} (valid until ${notAfter.toISOString().slice(0, 10)})\n${verb} ${key}`;
}
