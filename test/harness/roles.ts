import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { entry } from './entry.ts';
import { freePort } from './ports.ts';
import { type RunningProcess, start } from './process.ts';
import type { Scope } from './scope.ts';
import { temporaryFolder } from './temp.ts';

const MiB = 1024 * 1024;
/** A mirror or a scheduler that runs. */
export interface Role {
  readonly address: string;
  readonly process: RunningProcess;
  readonly folder: string;
}

/** Who is in a swarm on loopback, which needs no certificates. */
export interface Plan {
  readonly mirrors: readonly string[];
  readonly agents: readonly string[];
  readonly schedulers?: readonly string[];
  readonly pattern: 'p2p' | 'source';
}

export interface RoleOptions {
  /** The folder of one that ran before: its cache is there. */
  readonly former?: string;
  /** Further sections of the configuration. */
  readonly sections?: Readonly<Record<string, unknown>>;
}

export async function loopbackAddresses(count: number): Promise<string[]> {
  return await Promise.all(Array.from({ length: count }, async () => `127.0.0.1:${await freePort()}`));
}

/** The section p2p of the member with this address. */
export function memberOf(address: string, { mirrors, agents, schedulers = [], pattern }: Plan) {
  return {
    id: address,
    port: Number(address.split(':')[1]),
    plusMode: { downloadPattern: pattern },
    membership: { source: 'static', agents, mirrors, schedulers },
  };
}

/** Starts a role and waits until it is ready. */
export async function startRole(
  scope: Scope,
  role: 'mirror' | 'scheduler',
  address: string,
  plan: Plan,
  { former, sections }: RoleOptions = {},
): Promise<Role> {
  const folder = former ?? (await temporaryFolder(scope, role));
  const p2p = memberOf(address, plan);
  const file = path.join(folder, 'config.yaml');
  const cacheHostPath = path.join(folder, 'cache');
  const cache = { mode: 'disk', capacity: 256 * MiB, optionBlockSize: 64 * MiB };
  await mkdir(cacheHostPath, { recursive: true });
  const config = {
    stateDir: path.join(folder, 'state'),
    telemetry: { port: await freePort() },
    p2p: { ...p2p, plusMode: { ...p2p.plusMode, cacheHostPath }, v2: { cache } },
    ...sections,
  };
  // JSON is YAML.
  await writeFile(file, JSON.stringify(config));
  const running = await start(scope, `shoal ${role}`, [process.execPath, entry, role, '--config', file], {});
  await running.until(() => running.output.includes(`${role} ready`), { what: `a ready ${role}`, timeoutMs: 60_000 });
  return { address, process: running, folder };
}
