import { copyFile, mkdir } from 'node:fs/promises';
import path from 'node:path';
import { run } from './process.ts';
import type { Scope } from './scope.ts';
import { temporaryFolder } from './temp.ts';

const repository = path.resolve(import.meta.dirname, '../..');

/** Builds images without the network and without a daemon, in a storage of its own. */
export interface ImageBuilder {
  /** The chart's image of the package `shoal-<version>-linux-<arch>` in `folder`. Gives its name here. */
  shoal(folder: string, version: string): Promise<string>;
  /** The image of a pod's sandbox: one static program that waits. */
  pause(): Promise<string>;
  /** Pushes it to a registry that speaks http. */
  push(image: string, reference: string): Promise<void>;
}

/** Debian's buildah, with the essential Debian 12 of scripts/debian-root in the place of debian:12-slim. */
export async function startImageBuilder(scope: Scope): Promise<ImageBuilder> {
  await run([path.join(repository, 'scripts/debian-root')], { timeoutMs: 600_000 });
  const folder = await temporaryFolder(scope, 'buildah');
  const storage = ['--storage-driver', 'vfs', '--root', `${folder}/root`, '--runroot', `${folder}/run`];
  const env = { BUILDAH_ISOLATION: 'chroot' };
  const buildah = async (...args: string[]): Promise<string> =>
    (await run(['buildah', ...storage, ...args], { env, timeoutMs: 300_000 })).trim();

  /** An image of nothing but a tree of files. */
  const fromTree = async (name: string, tree: string, ...config: string[]): Promise<string> => {
    const container = await buildah('from', 'scratch');
    await buildah('add', '--quiet', container, tree, '/');
    if (config.length > 0) await buildah('config', ...config, container);
    await buildah('commit', '--quiet', '--rm', container, name);
    return name;
  };
  const base = await fromTree('localhost/debian:12', path.join(repository, '.cache/debian-12-base'));
  return {
    async shoal(packages, version) {
      const name = `localhost/shoal:${version}`;
      const file = path.join(repository, 'deploy/image/Dockerfile');
      const args = ['--build-arg', `BASE=${base}`, '--build-arg', `VERSION=${version}`];
      await buildah('bud', '--quiet', '--pull=never', '--file', file, ...args, '--tag', name, packages);
      return name;
    },
    async pause() {
      const tree = path.join(folder, 'pause');
      await mkdir(tree);
      await copyFile(path.join(import.meta.dirname, 'pause.c'), path.join(folder, 'pause.c'));
      await run(['gcc', '-static', '-Os', '-o', path.join(tree, 'pause'), path.join(folder, 'pause.c')]);
      return await fromTree('localhost/pause:1', tree, '--entrypoint', '["/pause"]');
    },
    async push(image, reference) {
      await buildah('push', '--quiet', '--tls-verify=false', image, `docker://${reference}`);
    },
  };
}
