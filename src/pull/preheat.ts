import { authConfigOf } from '../registry/credentials.ts';
import type { Credentials, Repository } from '../registry/types.ts';
import { headersOf, type TraceContext } from '../telemetry/trace-context.ts';
import type { PullEngine } from './engine.ts';
import { optInLabel, optInValue } from './policy.ts';

/** Blobs at once, as a runtime has them. */
const blobsAtOnce = 3;

export interface Preheated {
  readonly bytes: number;
  readonly originBytes: number;
}

/** Brings an image into the cache as a pull would, for no runtime. Rejects with why it can't. */
export async function preheatImage(
  engine: PullEngine,
  image: string,
  credentialsFor: (repository: Repository) => Promise<Credentials>,
  signal: AbortSignal,
  trace?: TraceContext,
): Promise<Preheated> {
  const repository = engine.explain({ image });
  const auth = authConfigOf(await credentialsFor(repository));
  // Who preheats has opted in.
  const pod = { name: '', namespace: '', labels: { [optInLabel]: optInValue } };
  const opened = engine.open({ image, auth, pod, ...(trace && headersOf(trace)) });
  if (opened.kind === 'declined') throw new Error(`not accelerated: ${opened.reason}`);
  const { pull } = opened;
  try {
    const left = [...(await pull.blobs())];
    const next = async (): Promise<void> => {
      for (let digest = left.shift(); digest !== undefined; digest = left.shift()) {
        await readThrough(engine, repository, digest, signal);
      }
    };
    await Promise.all(Array.from({ length: blobsAtOnce }, next));
    const { imageBytes, bytes } = pull.summary();
    pull.close({ result: 'ok' });
    return { bytes: imageBytes, originBytes: bytes.origin };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    pull.close(signal.aborted ? { result: 'cancelled' } : { result: 'failed', error: message });
    throw error;
  }
}

async function readThrough(
  engine: PullEngine,
  { registry, repository }: Repository,
  digest: string,
  signal: AbortSignal,
): Promise<void> {
  const blob = await engine.openBlob({ registry, repository, runtime: true, accept: [] }, digest, signal);
  for await (const chunk of blob.read(0, blob.size, signal)) chunk.release();
}
