import path from 'node:path';
import { type IssuedFiles, initAuthority, issueCertificate } from '../swarm/tls/authority.ts';
import { type OutputFormat, print } from './output.ts';

interface InitOptions {
  readonly dir: string;
  readonly days?: number;
  readonly output: OutputFormat;
}

interface IssueOptions extends InitOptions {
  readonly name: string;
  readonly address?: readonly string[];
  readonly out?: string;
}

/** `shoal certs init`. */
export async function init(options: InitOptions): Promise<void> {
  const { dir, days, output } = options;
  const files = await initAuthority({ directory: path.resolve(dir), ...(days === undefined ? {} : { days }) });
  const advice = 'keep the key off the nodes: whoever has it can join the swarm';
  print(output, `${describe(files)}\n${advice}`, files);
}

/** `shoal certs issue`. */
export async function issue(options: IssueOptions): Promise<void> {
  const { dir, out, name, address, days, output } = options;
  const files = await issueCertificate({
    directory: path.resolve(dir),
    output: path.resolve(out ?? dir),
    name,
    addresses: address ?? [],
    ...(days === undefined ? {} : { days }),
  });
  print(output, describe(files), files);
}

function describe({ certificate, key, notAfter }: IssuedFiles): string {
  return `wrote ${certificate} (valid until ${notAfter.toISOString().slice(0, 10)})\nwrote ${key}`;
}
