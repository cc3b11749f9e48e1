import { randomBytes } from 'node:crypto';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { readTextFile } from '../read-file.ts';
import type { Logger } from '../telemetry/log.ts';
import { Informer, type InformerTimes } from './informer.ts';
import { namespaces } from './resources.ts';
import type { KubernetesClient } from './types.ts';

/** Namespaces that are written down at most, and the file's size with them: names have 63 characters. */
const mostNames = 50_000;
const largestFile = 4 * 1024 * 1024;

const content = z.strictObject({
  format: z.literal(1),
  label: z.string(),
  namespaces: z.array(z.string().max(63)).max(mostNames),
});

export interface OptedInOptions {
  /** Closed with this. */
  readonly client: KubernetesClient;
  /** Label and value by which a namespace opts in. */
  readonly label: string;
  readonly value: string;
  /** Where what was known last is kept for the next start. */
  readonly stateDir: string;
  readonly logger: Logger;
  readonly times?: InformerTimes;
}

/**
 * The namespaces that opt in by a label, watched. What was known last stands while the API is away, also over a restart; nobody
 * waits for the API.
 */
export class OptedInNamespaces {
  readonly #options: OptedInOptions;
  readonly #file: string;
  readonly #informer: Informer<true>;
  #names: ReadonlySet<string>;
  #answered = false;
  #writing: Promise<void> = Promise.resolve();

  private constructor(options: OptedInOptions, known: ReadonlySet<string>) {
    const { client, label, value, logger, times } = options;
    this.#options = options;
    this.#file = fileIn(options.stateDir);
    this.#names = known;
    this.#informer = new Informer<true>({
      client,
      resource: namespaces,
      labelSelector: `${label}=${value}`,
      parse: () => true,
      onChange: () => this.#changed(),
      logger,
      ...(times && { times }),
    });
  }

  /** Begins to watch, with what was known before. Rejects with nothing: a damaged file counts as none, and the log says so. */
  static async start(options: OptedInOptions): Promise<OptedInNamespaces> {
    return new OptedInNamespaces(options, await readKnown(options));
  }

  optsIn(namespace: string): boolean {
    return this.#names.has(namespace);
  }

  /** Why the answer may be out of date; undefined while it is kept up. */
  failure(): string | undefined {
    if (this.#informer.failure !== undefined) return this.#informer.failure;
    return this.#answered ? undefined : 'the Kubernetes API has not answered yet';
  }

  /** Resolves with the API's first answer; never when there is none. */
  get firstAnswer(): Promise<void> {
    return this.#informer.firstAnswer;
  }

  async close(): Promise<void> {
    await this.#informer.close();
    await this.#options.client.close();
    await this.#writing;
  }

  #changed(): void {
    this.#answered = true;
    // Keys of what is in no namespace: `/name`.
    this.#names = new Set([...this.#informer.objects().keys()].map((key) => key.slice(key.indexOf('/') + 1)));
    const names = [...this.#names].sort().slice(0, mostNames);
    this.#writing = this.#writing.then(() => this.#write(names));
  }

  async #write(names: readonly string[]): Promise<void> {
    const { label, value, stateDir, logger } = this.#options;
    const draft = `${this.#file}.${randomBytes(4).toString('hex')}`;
    try {
      await mkdir(stateDir, { recursive: true, mode: 0o755 });
      await writeFile(draft, JSON.stringify({ format: 1, label: `${label}=${value}`, namespaces: names }));
      await rename(draft, this.#file);
    } catch (error) {
      logger.warn({ err: error, file: this.#file }, 'the namespaces that opt in could not be written down');
    }
  }
}

async function readKnown({ stateDir, label, value, logger }: OptedInOptions): Promise<ReadonlySet<string>> {
  const file = fileIn(stateDir);
  try {
    const parsed = content.parse(JSON.parse(await readTextFile(file, largestFile)));
    return new Set(parsed.label === `${label}=${value}` ? parsed.namespaces : []);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) {
      logger.warn({ err: error, file }, 'the namespaces that opted in before are not known: their file is damaged');
    }
    return new Set();
  }
}

function fileIn(stateDir: string): string {
  return path.join(stateDir, 'namespaces.json');
}
