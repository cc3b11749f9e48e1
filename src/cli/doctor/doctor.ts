import { access, constants } from 'node:fs/promises';
import { defaultConfigFile } from '../../config/load.ts';
import { type ConfigOptions, loadFromOptions } from '../config-options.ts';
import { exitCodes, UsageError } from '../exit-codes.ts';
import { type OutputFormat, print } from '../output.ts';
import { aioCheck } from './aio.ts';
import { certificatesCheck } from './certificates.ts';
import { clockCheck } from './clock.ts';
import { diskCheck } from './disk.ts';
import { diskEngineCheck } from './disk-engine.ts';
import { engineCheck } from './engine.ts';
import { isRefused } from './findings.ts';
import { kernelCheck } from './kernel.ts';
import { kubeletCheck } from './kubelet.ts';
import { leaveUnlessIdle } from './leave.ts';
import { memoryCheck } from './memory.ts';
import { openFilesCheck } from './open-files.ts';
import { askPeers } from './peer-answers.ts';
import { peersCheck } from './peers.ts';
import { portsCheck } from './ports.ts';
import { registriesCheck } from './registries.ts';
import { askRegistries } from './registry-answers.ts';
import { countLevels, describeReport } from './report.ts';
import { type GroupReport, runChecks } from './run.ts';
import { askRunningAgent } from './running-agent.ts';
import { runtimeCheck } from './runtime.ts';
import { imageSocketCheck, runtimeSocketCheck } from './sockets.ts';
import type { Check, DoctorContext, KnownContext, PeerAnswers, RegistryAnswers } from './types.ts';
import { agentVariables } from './unit-environment.ts';

interface Options extends ConfigOptions {
  readonly registry?: readonly string[];
  readonly output: OutputFormat;
}

/** In the order of the report, within each group. */
const checks: readonly Check[] = [
  kubeletCheck,
  imageSocketCheck,
  engineCheck,
  runtimeSocketCheck,
  runtimeCheck,
  kernelCheck,
  aioCheck,
  openFilesCheck,
  diskCheck,
  diskEngineCheck,
  memoryCheck,
  portsCheck,
  clockCheck,
  certificatesCheck,
  registriesCheck,
  peersCheck,
];

/** `shoal doctor`: exits with 1 when it found a problem. */
export async function doctor(options: Options): Promise<void> {
  const groups = await diagnose(options);
  const counts = countLevels(groups);
  print(options.output, describeReport(groups), { ...counts, groups });
  const code = counts.problem > 0 ? exitCodes.failed : exitCodes.ok;
  process.exitCode = code;
  leaveUnlessIdle(code);
}

async function diagnose(options: Options): Promise<readonly GroupReport[]> {
  const environment = await agentVariables(process.env);
  await checkAccess(options.config ?? (environment.SHOAL_CONFIG || defaultConfigFile));
  const { config } = await loadFromOptions(options, environment);
  const registries = options.registry ?? [];
  const { parseRegistry } = await import('../../registry/reference.ts');
  for (const registry of registries) {
    try {
      parseRegistry(registry);
    } catch (error) {
      throw new UsageError(`--registry: ${(error as Error).message}`);
    }
  }
  const known = {
    config,
    root: '/',
    isRoot: process.geteuid?.() === 0,
    registries,
    environment,
    agent: await askRunningAgent(config),
    now: Date.now,
  };
  return runChecks(checks, contextOf(known));
}

/** Without the configuration every other word would be a guess. */
async function checkAccess(file: string): Promise<void> {
  try {
    await access(file, constants.R_OK);
  } catch (error) {
    if (isRefused(error)) throw new Error(`${file} is not open to this user: run this as root (sudo shoal doctor)`);
    // Loading it says the rest.
  }
}

/** Adds what checks share. */
export function contextOf(known: KnownContext): DoctorContext {
  let answers: Promise<RegistryAnswers> | undefined;
  let peers: Promise<PeerAnswers> | undefined;
  return {
    ...known,
    registryAnswers: (signal) => {
      answers ??= askRegistries(known, signal);
      return answers;
    },
    peerAnswers: () => {
      peers ??= askPeers(known);
      return peers;
    },
  };
}
