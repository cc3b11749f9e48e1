import path from 'node:path';
import { parseToml, tomlAt } from '../../runtime/toml.ts';
import { flag } from './flags.ts';
import { isSocket } from './kubelet.ts';
import { listProcesses, readBelow, type SeenProcess } from './proc.ts';

const defaults = { config: '/etc/containerd/config.toml', address: '/run/containerd/containerd.sock' } as const;

/** The configuration of the containerd that serves a socket; undefined where none runs that this user sees. */
export async function containerdConfigOf(root: string, socket: string): Promise<string | undefined> {
  for (const process of (await listProcesses(root)).filter(isContainerd)) {
    const config = flag(process.args, 'config', 'c') ?? defaults.config;
    const address = flag(process.args, 'address', 'a') ?? (await addressIn(root, config)) ?? defaults.address;
    if (isSocket(address, socket)) return config;
  }
  return undefined;
}

function isContainerd({ args }: SeenProcess): boolean {
  return path.basename(args[0] ?? '') === 'containerd';
}

async function addressIn(root: string, config: string): Promise<string | undefined> {
  try {
    const address = tomlAt(parseToml(config, (await readBelow(root, config)) ?? '', ''), 'grpc', 'address');
    return typeof address === 'string' && address !== '' ? address : undefined;
  } catch {
    // Broken, or not for this user: the check of what is in it says so.
    return undefined;
  }
}
