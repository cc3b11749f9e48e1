import path from 'node:path';
import { loopbackSecret, readLoopbackSecret } from '../config/loopback.ts';
import type { Config } from '../config/schema.ts';
import { planContainerd, planContainerdUndo } from './containerd.ts';
import { unifiedDiff } from './diff.ts';
import { apply } from './files.ts';
import { checkRegistryHost, commonRegistries, planRegistriesConf, planRegistriesConfUndo } from './registries-conf.ts';
import type { Plan, Runtime } from './types.ts';

export interface ConfigureOptions {
  readonly runtime: Runtime;
  readonly undo: boolean;
  /** Only say what would be done; changes nothing, not even the secret. */
  readonly dryRun: boolean;
  /** Absolute; the system whose runtime is configured. */
  readonly root: string;
  /** containerd: the folder with `<host>/hosts.toml`. */
  readonly configPath?: string;
  /** containerd: its configuration file. */
  readonly containerdConfig: string;
  /** CRI-O, podman: the registries; those that the configuration includes by name when empty, else the common ones. */
  readonly registries: readonly string[];
}

export interface ConfigureReport extends Pick<Plan, 'notes' | 'todo'> {
  readonly runtime: Runtime;
  readonly dryRun: boolean;
  /** Files that were (or would be) written or removed; empty when all is as it should be. */
  readonly changes: readonly { readonly path: string; readonly action: 'write' | 'remove'; readonly diff: string }[];
}

/** Stands for the secret that a dry run must not make. As long as one, so that nothing else differs. */
const absentSecret = '0'.repeat(64);

/** Makes the runtime ask Shoal's mirror first, or takes that back. Does nothing where all is as it should be. */
export async function configureRuntime(config: Config, options: ConfigureOptions): Promise<ConfigureReport> {
  const stateDir = path.join(options.root, config.stateDir);
  const secret = async (): Promise<string> =>
    options.dryRun ? ((await readLoopbackSecret(stateDir)) ?? absentSecret) : loopbackSecret(stateDir);
  const { changes, notes, todo } = await makePlan(config, options, secret);
  const needed = changes.filter(({ before, after, modeBefore, mode }) => before !== after || modeBefore !== mode);
  if (!options.dryRun) for (const change of needed) await apply(change);
  return {
    runtime: options.runtime,
    dryRun: options.dryRun,
    changes: needed.map((change) => ({
      path: change.path,
      action: change.after === undefined ? 'remove' : 'write',
      diff: withoutSecret(unifiedDiff(change)),
    })),
    notes,
    todo: options.runtime === 'crio' && needed.length > 0 ? [...todo, 'systemctl reload crio'] : todo,
  };
}

async function makePlan(config: Config, options: ConfigureOptions, secret: () => Promise<string>): Promise<Plan> {
  const { runtime, undo, root } = options;
  if (runtime !== 'containerd') {
    return undo
      ? planRegistriesConfUndo(root)
      : planRegistriesConf(root, config.mirror.port, registriesOf(config, options.registries));
  }
  const containerd = {
    root,
    configFile: options.containerdConfig,
    ...(options.configPath === undefined ? {} : { configPath: options.configPath }),
  };
  return undo
    ? planContainerdUndo(containerd)
    : planContainerd(containerd, { port: config.mirror.port, secret: await secret() });
}

function registriesOf(config: Config, named: readonly string[]): { host: string; plainHttp: boolean }[] {
  const included = config.registries.include
    .map((pattern) => pattern.split('/')[0] ?? '')
    .filter((host) => host !== '' && !host.includes('*'));
  const hosts = named.length > 0 ? named : included.length > 0 ? included : commonRegistries;
  return [...new Set(hosts.map(checkRegistryHost))].map((host) => ({
    host,
    plainHttp: config.registries.hosts[host]?.plainHttp ?? false,
  }));
}

/** What is printed ends up in logs: the header's value stays out of it. */
function withoutSecret(diff: string): string {
  return diff.replace(/[0-9a-f]{64}/g, '[secret]');
}
