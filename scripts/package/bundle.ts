import { build } from 'esbuild';

/**
 * Bundles `shoal` into `folder`, one file for each command, so that a process loads what it needs. Gives the folders of the
 * npm packages that are inside, relative to `root`.
 */
export async function bundle(root: string, folder: string): Promise<readonly string[]> {
  const result = await build({
    absWorkingDir: root,
    entryPoints: { main: 'src/cli/main.ts' },
    outdir: folder,
    // Flat: src/paths.ts finds the package's root one level above whichever file it ended up in.
    chunkNames: '[name]-[hash]',
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    legalComments: 'none',
    metafile: true,
    logLevel: 'warning',
    // CommonJS packages require Node's own modules; in an ES module there is no `require` unless it is made.
    banner: {
      js: "import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);",
    },
  });
  const packages = new Set<string>();
  for (const input of Object.keys(result.metafile.inputs)) {
    const parts = input.split('/');
    const last = parts.lastIndexOf('node_modules');
    if (last === -1) continue;
    const scoped = parts[last + 1]?.startsWith('@') ?? false;
    packages.add(parts.slice(0, last + (scoped ? 3 : 2)).join('/'));
  }
  return [...packages].sort();
}
