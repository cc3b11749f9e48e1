import { access, mkdir, realpath, stat } from 'node:fs/promises';
import path from 'node:path';
import type { Agent, Program } from './agent.ts';
import { packageFolder, packageName } from './package.ts';
import { run } from './process.ts';
import type { Scope } from './scope.ts';
import { temporaryFolder } from './temp.ts';

const repository = path.resolve(import.meta.dirname, '../..');
/** Where the package lies in there. */
const home = '/opt/shoal';

/** The package in a Debian 12 with nothing else: no Node, no compiler, nothing of this repository. */
export interface PackagedShoal {
  /** For `startAgent`. */
  readonly program: Program;
  /** Rejects unless all of the agent's processes are the package's, and have nothing of this repository in reach. */
  expectNothingElse(agent: Agent): Promise<void>;
}

/** Unpacks the archive that `make package` made, in a Debian 12 of debootstrap. */
export async function unpackInDebian(scope: Scope): Promise<PackagedShoal> {
  await run([path.join(repository, 'scripts/debian-root')], { timeoutMs: 600_000 });
  const name = await packageName();
  const layer = await temporaryFolder(scope, 'package');
  const top = await temporaryFolder(scope, 'debian');
  const target = path.join(layer, home);
  await mkdir(target, { recursive: true });
  const archive = path.join(packageFolder, `${name}.tar.gz`);
  await run(['tar', '--extract', '--file', archive, '--directory', target, '--strip-components=1', '--no-same-owner']);
  const layers = [layer, path.join(repository, '.cache/debian-12-base')].join(':');
  const enter = path.join(import.meta.dirname, 'bare-debian.sh');
  return {
    program: (folders) => ['unshare', '--mount', '--', enter, layers, top, ...folders, '--', `${home}/bin/shoal`],
    async expectNothingElse(agent) {
      for (const pid of [agent.process.pid, await agent.enginePid()]) {
        const root = `/proc/${pid}/root`;
        const [runs, shipped] = await Promise.all([stat(`/proc/${pid}/exe`), stat(path.join(root, home, 'bin/node'))]);
        if (runs.dev !== shipped.dev || runs.ino !== shipped.ino) throw new Error(`process ${pid} has another Node`);
        for (const place of [repository, await realpath(process.execPath)]) {
          const reachable = await access(path.join(root, place)).then(
            () => true,
            () => false,
          );
          if (reachable) throw new Error(`process ${pid} has ${place} in reach`);
        }
      }
    },
  };
}
