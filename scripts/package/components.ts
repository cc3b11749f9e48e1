import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { run } from './run.ts';

/** Something of others that is in the package. */
export interface Component {
  readonly name: string;
  readonly version: string;
  /** Package URL, https://github.com/package-url/purl-spec. */
  readonly purl: string;
  /** An SPDX expression. */
  readonly licence: string;
  /** The files with the licence's text. */
  readonly texts: readonly string[];
  /** npm's integrity, `sha512-…` in base64. */
  readonly integrity?: string;
}

interface LockFile {
  readonly packages: Readonly<Record<string, { readonly version: string; readonly integrity?: string }>>;
}

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly license?: string;
}

const readJson = async <T>(file: string): Promise<T> => JSON.parse(await readFile(file, 'utf8')) as T;

/** Everything of others in the package: what was bundled, Node, and what is linked into the addon. Throws when a licence is not to be found. */
export async function componentsOf(root: string, bundled: readonly string[]): Promise<readonly Component[]> {
  const lock = await readJson<LockFile>(path.join(root, 'package-lock.json'));
  const npm = ['node_modules/node-addon-api', ...bundled].map((folder) => npmComponent(root, folder, lock));
  return [await nodeComponent(root), await standardLibrary(), ...(await Promise.all(npm))];
}

async function npmComponent(root: string, folder: string, lock: LockFile): Promise<Component> {
  const { name, version, license } = await readJson<Manifest>(path.join(root, folder, 'package.json'));
  const integrity = lock.packages[folder]?.integrity;
  const texts = await licenceFiles(path.join(root, folder));
  if (license === undefined) throw new Error(`${folder} does not say which licence it has`);
  const purl = `pkg:npm/${name.replace('@', '%40')}@${version}`;
  return { name, version, purl, licence: license, texts, ...(integrity === undefined ? {} : { integrity }) };
}

async function nodeComponent(root: string): Promise<Component> {
  const arch = process.arch === 'x64' ? 'x64' : 'arm64';
  const folder = path.join(root, `node_modules/node/node_modules/node-linux-${arch}`);
  const texts = await licenceFiles(folder).catch(() => []);
  if (texts.length === 0) throw new Error(`${folder} with Node's licence is missing: npm install drops it, run npm ci`);
  const version = process.versions.node;
  return { name: 'node', version, purl: `pkg:generic/node@${version}`, licence: 'MIT', texts };
}

/** The C++ library is linked into the addon (native/glibc). */
async function standardLibrary(): Promise<Component> {
  const archive = await run('g++', ['-print-file-name=libstdc++.a']);
  const owner = await run('dpkg', ['--search', archive.trim()]);
  const name = owner.split(':')[0] ?? '';
  const version = await run('dpkg-query', ['--show', `--showformat=$\{Version}`, name]);
  return {
    name,
    version,
    purl: `pkg:deb/debian/${name}@${encodeURIComponent(version)}`,
    licence: 'GPL-3.0-or-later WITH GCC-exception-3.1',
    texts: [`/usr/share/doc/${name}/copyright`],
  };
}

async function licenceFiles(folder: string): Promise<string[]> {
  const names = (await readdir(folder)).filter((name) => /^(licen[cs]e|copying|notice)/i.test(name));
  return names.sort().map((name) => path.join(folder, name));
}
