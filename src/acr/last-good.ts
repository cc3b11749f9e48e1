import { randomBytes } from 'node:crypto';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { readTextFile } from '../read-file.ts';
import { parseRegistry } from '../registry/reference.ts';
import { reasonOf } from './errors.ts';

/** An instance's hosts as ACR named them last. */
export interface KnownInstance {
  readonly id: string;
  readonly hosts: readonly string[];
  /** Milliseconds since 1970. */
  readonly asOf: number;
}

/** Bytes: 50 instances with 64 hosts each are far below. */
const largestFile = 1024 * 1024;

const host = z.string().refine(isHost);

const content = z.strictObject({
  format: z.literal(1),
  /** The settings that the hosts were asked for with: others may have other hosts. */
  settings: z.string(),
  instances: z.array(z.strictObject({ id: z.string(), hosts: z.array(host).max(1000), asOf: z.number() })).max(1000),
});

/**
 * What ACR's OpenAPI said last, on disk: an agent that starts while the OpenAPI is away goes on with it. It holds names of hosts
 * only.
 */
export class LastGood {
  readonly #file: string;
  readonly #settings: string;

  /** `settings` identifies what else the answers depend on: region, kind of endpoint, where was asked. */
  constructor(stateDir: string, settings: string) {
    this.#file = path.join(stateDir, 'acr-instances.json');
    this.#settings = settings;
  }

  /** Empty where there is no file, or one of other settings. Rejects when it is damaged. */
  async read(): Promise<readonly KnownInstance[]> {
    let text: string;
    try {
      text = await readTextFile(this.#file, largestFile);
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
      throw new Error(`${this.#file} can't be read: ${reasonOf(error)}`, { cause: error });
    }
    const parsed = content.safeParse(parseJson(text)).data;
    if (parsed === undefined) throw new Error(`${this.#file} is damaged`);
    return parsed.settings === this.#settings ? parsed.instances : [];
  }

  /** Replaces the file as a whole: a crash leaves the old one. Rejects with the system's error. */
  async write(instances: readonly KnownInstance[]): Promise<void> {
    await mkdir(path.dirname(this.#file), { recursive: true, mode: 0o755 });
    const draft = `${this.#file}.${randomBytes(4).toString('hex')}`;
    try {
      const text = JSON.stringify({ format: 1, settings: this.#settings, instances });
      await writeFile(draft, `${text}\n`, { mode: 0o600, flag: 'wx', flush: true });
      await rename(draft, this.#file);
    } finally {
      await rm(draft, { force: true });
    }
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isHost(text: string): boolean {
  try {
    return parseRegistry(text) === text;
  } catch {
    return false;
  }
}
