import path from 'node:path';
import { run } from './run.ts';

/** The first second that every file system can store; `SOURCE_DATE_EPOCH` picks another one. */
const epoch = process.env.SOURCE_DATE_EPOCH || '315532800';

/** Packs `<folder>/<name>` into `<folder>/<name>.tar.gz`: names sorted, nobody's dates, owners and umask. Gives its path. */
export async function archive(folder: string, name: string): Promise<string> {
  const tar = path.join(folder, `${name}.tar`);
  const what = ['--create', '--file', tar, '--directory', folder, name];
  const alike = ['--format=ustar', '--sort=name', `--mtime=@${epoch}`, '--owner=0', '--group=0', '--numeric-owner'];
  await run('tar', [...alike, '--mode=u=rwX,go=rX', ...what]);
  await run('gzip', ['-9', '--no-name', '--force', tar]);
  return `${tar}.gz`;
}
