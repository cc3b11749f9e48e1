import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Answer } from './http-server.ts';

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** A folder of static files, read once: what is not in it when the process starts is never served. `/` is its index.html. */
export async function readSite(folder: string): Promise<ReadonlyMap<string, Answer>> {
  const site = new Map<string, Answer>();
  for (const name of await readdir(folder)) {
    const type = types[path.extname(name)];
    if (type === undefined) continue;
    const answer = { status: 200, type, body: await readFile(path.join(folder, name)), cacheable: true };
    site.set(name === 'index.html' ? '/' : `/${name}`, answer);
  }
  return site;
}
