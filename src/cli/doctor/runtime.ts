import { stat } from 'node:fs/promises';
import path from 'node:path';
import { loopbackSecretPath, readLoopbackSecret } from '../../config/loopback.ts';
import { type ConfigureReport, configureRuntime } from '../../runtime/configure.ts';
import { mirrorUrl } from '../../runtime/hosts-toml.ts';
import { RuntimeConfigError } from '../../runtime/types.ts';
import { containerdConfigOf } from './containerd-process.ts';
import { isRefused, needsRoot, ok, problem, reasonOf, splitMend, warning } from './findings.ts';
import { readBelow } from './proc.ts';
import type { Check, DoctorContext, Finding } from './types.ts';

const secretAbout = 'loopback secret';
const about = 'configuration';
const defaultConfig = '/etc/containerd/config.toml';

/** Whether the runtime's configuration is as `shoal runtime configure` would write it. */
export const runtimeCheck: Check = {
  group: 'runtime',
  about,
  // containerd is asked for its configuration, which may take ten seconds.
  boundMs: 15_000,
  run: async (context) => [await checkSecret(context), ...(await checkConfiguration(context))],
};

/** A runtime, as `shoal runtime configure` has to be told of it. */
export interface KnownRuntime {
  readonly name: string;
  readonly runtime: 'containerd' | 'crio';
  readonly containerdConfig: string;
  readonly configPath?: string;
}

/** Which runtime an endpoint is of. `rke2`: the node has the folders of RKE2 and none of k3s, which share a socket's path. */
export function runtimeOf(endpoint: string, rke2: boolean): KnownRuntime {
  const containerdConfig = defaultConfig;
  if (endpoint.includes('crio')) return { name: 'CRI-O', runtime: 'crio', containerdConfig };
  if (!endpoint.includes('/k3s/')) return { name: 'containerd', runtime: 'containerd', containerdConfig };
  const name = rke2 ? 'rke2' : 'k3s';
  const folder = `/var/lib/rancher/${name}/agent/etc/containerd`;
  return {
    name: `${name}'s containerd`,
    runtime: 'containerd',
    containerdConfig: `${folder}/config.toml`,
    configPath: `${folder}/certs.d`,
  };
}

/** The command that writes the configuration. */
export function configureCommand(
  { runtime, containerdConfig, configPath }: KnownRuntime,
  named: readonly string[],
): string {
  return [
    `shoal runtime configure --runtime ${runtime}`,
    ...(containerdConfig === defaultConfig ? [] : [`--containerd-config ${containerdConfig}`]),
    ...(configPath === undefined ? [] : [`--config-path ${configPath}`]),
    ...named.map((host) => `--registry ${host}`),
  ].join(' ');
}

export function judgeConfiguration(
  report: Pick<ConfigureReport, 'changes' | 'notes' | 'todo'>,
  {
    name,
    command,
    root,
    port,
  }: { readonly name: string; readonly command: string; readonly root: string; readonly port: number },
): Finding[] {
  const findings: Finding[] = report.changes.map(({ path: file, diff }) => {
    const shown = root === '/' ? file : `/${path.relative(root, file)}`;
    const says =
      diff === ''
        ? `${shown} has other permissions than it should have`
        : `${shown} does not say that ${name} asks Shoal first, as it should`;
    return problem(about, says, command);
  });
  for (const task of report.todo) {
    // What CRI-O has to be told after a change that was not made.
    if (task.startsWith('systemctl ')) continue;
    const [says = task, ...mend] = task.split(/\. (?=In |Its )/);
    findings.push(problem('config_path', says, lowerFirst(mend.join('. ') || command)));
  }
  if (findings.length === 0) findings.push(ok(about, `${name} asks 127.0.0.1:${port} before each registry`));
  for (const note of report.notes) {
    if (note.startsWith('accelerated: ')) findings.push(ok('accelerated', note.slice('accelerated: '.length)));
    else if (note.includes('is not accelerated')) {
      const [says = note] = note.split(' (unless that names ');
      const mend = `write [host."${mirrorUrl(port)}"] into its hosts.toml, unless it is meant to be so (docs/cli.md)`;
      const theirs = "take the administrator's [[registry]] away, unless it is meant to be so";
      findings.push(warning('left out', says, note.includes('[[registry]]') ? theirs : mend));
    } else findings.push(ok('other mirrors', note));
  }
  return findings;
}

async function checkConfiguration({ config, root, registries }: DoctorContext): Promise<Finding[]> {
  const rke2 =
    (await isFolder(root, '/var/lib/rancher/rke2/agent')) && !(await isFolder(root, '/var/lib/rancher/k3s/agent'));
  const known = await located(root, config.runtimeEndpoint, runtimeOf(config.runtimeEndpoint, rke2));
  const named = known.runtime === 'crio' ? await namedInDropIn(root, registries) : [];
  const command = configureCommand(known, named);
  try {
    const report = await configureRuntime(config, {
      runtime: known.runtime,
      undo: false,
      dryRun: true,
      root,
      containerdConfig: known.containerdConfig,
      ...(known.configPath !== undefined && { configPath: known.configPath }),
      registries: named,
    });
    const notes = await withoutNamed(root, report.notes, config.mirror.port);
    return judgeConfiguration({ ...report, notes }, { name: known.name, command, root, port: config.mirror.port });
  } catch (error) {
    if (isRefused(error)) return [needsRoot(about, reasonOf(error))];
    if (!(error instanceof RuntimeConfigError)) throw error;
    const { says, mend } = splitMend(error.message, `mend that, then ${command}`);
    return [problem(about, says, mend)];
  }
}

/** Without the registries whose own hosts.toml names the mirror: they are accelerated. */
async function withoutNamed(root: string, notes: readonly string[], port: number): Promise<readonly string[]> {
  const kept = await Promise.all(
    notes.map(async (note) => {
      const folder = / goes by (\S+) for it/.exec(note)?.[1];
      const text = folder === undefined ? undefined : await readBelow(root, path.join(folder, 'hosts.toml'));
      return text?.includes(mirrorUrl(port)) ? [] : [note];
    }),
  );
  return kept.flat();
}

/** A containerd that runs says itself which configuration it reads. */
async function located(root: string, endpoint: string, known: KnownRuntime): Promise<KnownRuntime> {
  if (known.runtime !== 'containerd') return known;
  const containerdConfig = await containerdConfigOf(root, endpoint);
  return containerdConfig === undefined ? known : { ...known, containerdConfig };
}

/** CRI-O's drop-in holds what was named when it was written: nothing else says it. */
async function namedInDropIn(root: string, asked: readonly string[]): Promise<readonly string[]> {
  const text = (await readBelow(root, '/etc/containers/registries.conf.d/shoal.conf')) ?? '';
  const present = [...text.matchAll(/^prefix = "([^"]+)"$/gm)].map(([, host = '']) => host);
  return present.length === 0 ? asked : [...new Set([...present, ...asked])];
}

async function checkSecret({ config, root }: DoctorContext): Promise<Finding> {
  const stateDir = path.join(root, config.stateDir);
  const file = loopbackSecretPath(config.stateDir);
  const mend = 'shoal runtime configure, then systemctl restart shoal';
  try {
    const secret = await readLoopbackSecret(stateDir);
    return secret === undefined
      ? problem(secretAbout, `${file} is not there: the runtime can't prove to the mirror who it is`, mend)
      : ok(secretAbout, `${file} is root's alone`);
  } catch (error) {
    if (isRefused(error)) return needsRoot(secretAbout, `${file} is not open to this user`);
    const { says, mend: theirs } = splitMend(reasonOf(error), mend);
    return problem(secretAbout, says, theirs);
  }
}

async function isFolder(root: string, folder: string): Promise<boolean> {
  return stat(path.join(root, folder)).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
