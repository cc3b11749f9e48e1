import { createHash } from 'node:crypto';
import { chmod, copyFile, cp, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { archive } from './archive.ts';
import { bundle } from './bundle.ts';
import { type Component, componentsOf } from './components.ts';
import { run } from './run.ts';
import { billOfMaterials } from './sbom.ts';

/**
 * Makes shoal-<version>-linux-<arch>.tar.gz: all that a node needs to run Shoal, and nothing else. The same sources, Node
 * and compiler give the same bytes.
 */
const root = path.resolve(import.meta.dirname, '../..');
const { values: flags } = parseArgs({
  options: { out: { type: 'string', default: path.join(root, 'build/package') } },
});
const out = path.resolve(flags.out);
const { version } = JSON.parse(await readFile(path.join(root, 'package.json'), 'utf8')) as { version: string };
/** As containers and Kubernetes name it. */
const arch = process.arch === 'x64' ? 'amd64' : process.arch;
const name = `shoal-${version}-linux-${arch}`;
const tree = path.join(out, name);

await rm(out, { recursive: true, force: true });
await mkdir(path.join(tree, 'bin'), { recursive: true });
const bundled = await bundle(root, path.join(tree, 'dist'));
await copyFile(process.execPath, path.join(tree, 'bin/node'));
await mkdir(path.join(tree, 'build/Release'), { recursive: true });
await copyFile(path.join(root, 'build/Release/shoal.node'), path.join(tree, 'build/Release/shoal.node'));
// Symbols for debuggers alone, 17 MiB of Node; what addons are linked to is in another table and stays.
await run('strip', ['--strip-all', path.join(tree, 'bin/node'), path.join(tree, 'build/Release/shoal.node')]);
await cp(path.join(root, 'proto'), path.join(tree, 'proto'), { recursive: true });
await cp(path.join(root, 'deploy/node/systemd'), path.join(tree, 'systemd'), { recursive: true });
await copyFile(path.join(root, 'deploy/node/bootstrap.sh'), path.join(tree, 'bootstrap.sh'));
await cp(path.join(root, 'deploy/node/bootstrap'), path.join(tree, 'bootstrap'), { recursive: true });
await copyFile(path.join(root, 'deploy/node/shoal'), path.join(tree, 'bin/shoal'));
await copyFile(path.join(root, 'LICENSE'), path.join(tree, 'LICENSE'));
await writeFile(
  path.join(tree, 'package.json'),
  `${JSON.stringify({ name: 'shoal', version, arch, type: 'module', private: true, license: 'Apache-2.0' }, null, 2)}\n`,
);
const components = await componentsOf(root, bundled);
await copyLicences(components);
await writeFile(path.join(tree, 'sbom.cdx.json'), billOfMaterials(version, components));
const files = (await filesBelow(tree)).sort();
for (const file of files) await chmod(path.join(tree, file), /^bin\/|^bootstrap\.sh$/.test(file) ? 0o755 : 0o644);
await writeFile(path.join(tree, 'SHA256SUMS'), (await Promise.all(files.map(checksumLine))).join(''), { mode: 0o644 });

const packed = await archive(out, name);
await copyFile(path.join(tree, 'sbom.cdx.json'), path.join(out, `${name}.sbom.cdx.json`));
const sum = createHash('sha256')
  .update(await readFile(packed))
  .digest('hex');
await writeFile(`${packed}.sha256`, `${sum}  ${path.basename(packed)}\n`);
await report();

async function copyLicences(all: readonly Component[]): Promise<void> {
  for (const component of all) {
    const folder = path.join(tree, 'licences', `${component.name.replace('/', '__')}-${component.version}`);
    await mkdir(folder, { recursive: true });
    if (component.texts.length === 0) throw new Error(`${component.name} has no licence text`);
    for (const text of component.texts) await copyFile(text, path.join(folder, path.basename(text)));
  }
}

async function checksumLine(file: string): Promise<string> {
  const digest = createHash('sha256')
    .update(await readFile(path.join(tree, file)))
    .digest('hex');
  return `${digest}  ${file}\n`;
}

async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)));
}

async function report(): Promise<void> {
  const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
  const sizes = new Map<string, number>();
  for (const file of files) {
    const part = file.startsWith('bin/node') ? 'bin/node' : (file.split('/')[0] ?? '');
    sizes.set(part, (sizes.get(part) ?? 0) + (await stat(path.join(tree, file))).size);
  }
  const unpacked = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  for (const [part, size] of [...sizes].sort(([, a], [, b]) => b - a).slice(0, 5)) {
    console.log(`  ${part.padEnd(16)} ${mib(size).padStart(10)}  ${((100 * size) / unpacked).toFixed(1)} %`);
  }
  console.log(
    `${path.relative(process.cwd(), packed)}: ${mib((await stat(packed)).size)}, unpacked ${mib(unpacked)}, glibc 2.28 or later`,
  );
  console.log(`sha256 ${sum}`);
}
