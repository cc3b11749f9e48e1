import { createHash } from 'node:crypto';
import { Transform, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { EngineClient } from '../../agent/engine-client.ts';
import { engineSocketPath } from '../../agent/engine-socket.ts';
import { readLoopbackSecret } from '../../config/loopback.ts';
import type { PullSession, PullSummary } from '../../cri/types.ts';
import { optInLabel, optInValue } from '../../pull/policy.ts';
import { authConfigOf } from '../../registry/credentials.ts';
import { dockerConfigFile } from '../../registry/logins/docker-config-file.ts';
import { createLogins } from '../../registry/logins/logins.ts';
import { type Descriptor, parseManifest } from '../../registry/manifest.ts';
import { nodePlatform, selectPlatform } from '../../registry/platform.ts';
import { parseImageReference } from '../../registry/reference.ts';
import type { Manifest } from '../../registry/types.ts';
import { type ConfigOptions, loadFromOptions } from '../config-options.ts';
import { type OutputFormat, print } from '../output.ts';
import { noAgent } from '../running-engine.ts';
import { traceOfEnvironment } from '../trace-environment.ts';
import { LayoutWriter } from './layout-writer.ts';
import { MirrorReader } from './mirror-reader.ts';
import { createProgress, type PullProgress } from './progress.ts';

export interface PullOptions extends ConfigOptions {
  /** A folder for an OCI image layout; without it the bytes only go into the node's cache. */
  readonly layout?: string;
  readonly output: OutputFormat;
}

/** Blobs at once, as containerd does it. */
const blobsAtOnce = 3;
/** Milliseconds that the engine may take for its account. */
const summaryBound = 5_000;

/** `shoal pull`: an image through the running agent, into its cache, or into an OCI layout. */
export async function pull(image: string, options: PullOptions): Promise<void> {
  const { config } = await loadFromOptions(options);
  const reference = parseImageReference(image);
  const secret = await readLoopbackSecret(config.stateDir);
  if (secret === undefined) throw new Error(`no agent has run with stateDir ${config.stateDir}: start it first`);
  const { dockerConfigFile: file } = config.registries.logins;
  const logins = createLogins(file === undefined ? [] : [dockerConfigFile(file)]);
  const session = new EngineClient(engineSocketPath(config.runDir)).open({
    image,
    auth: {
      ...noAuth,
      ...authConfigOf(await logins.credentialsFor(reference.registry, { repository: reference.repository })),
    },
    pod: { name: '', namespace: '', uid: '', labels: { [optInLabel]: optInValue }, annotations: {} },
    ...traceOfEnvironment(process.env),
  });
  const reader = new MirrorReader({ port: config.mirror.port, secret, repository: reference });
  const layout = options.layout === undefined ? undefined : new LayoutWriter(options.layout);
  const progress = createProgress(options.output === 'json');
  const began = performance.now();
  try {
    await accepted(session, image, config.runDir);
    await layout?.open();
    const { root, manifests, blobs } = await readManifests(reader, reference.digest ?? reference.tag ?? 'latest');
    await pullBlobs(blobs, { reader, layout, progress });
    for (const manifest of manifests) await layout?.manifest(manifest);
    await layout?.name(root, image);
    progress.stop();
    const seconds = (performance.now() - began) / 1000;
    const summary = await session.finish({ ok: true, error: '' }, AbortSignal.timeout(summaryBound));
    print(options.output, describe(image, root, summary, seconds), { image, digest: root.digest, seconds, ...summary });
  } catch (error) {
    await toldAsFailed(session, error);
    throw error;
  } finally {
    progress.stop();
    session.close();
    await reader.close();
  }
}

/** A session that ends without a word counts as cancelled. */
async function toldAsFailed(session: PullSession, error: unknown): Promise<void> {
  if (session.decision?.kind !== 'accepted') return;
  const reason = error instanceof Error ? error.message : String(error);
  // Why the pull failed is what is to be told, not that the engine is gone as well.
  await session.finish({ ok: false, error: reason }, AbortSignal.timeout(summaryBound)).catch(() => undefined);
}

async function accepted(session: PullSession, image: string, runDir: string): Promise<void> {
  const decision = await session.decided();
  if (decision.kind === 'declined') throw new Error(`${image} is not accelerated: ${decision.reason}`);
  if (decision.kind === 'away') throw noAgent(runDir);
}

interface ImageManifests {
  readonly root: Manifest;
  readonly manifests: readonly Manifest[];
  /** Config and layers, each once. */
  readonly blobs: readonly Descriptor[];
}

async function readManifests(reader: MirrorReader, reference: string): Promise<ImageManifests> {
  const root = await reader.manifest(reference);
  const manifests = [root];
  let parsed = parseManifest(root.mediaType, root.body);
  if (parsed.kind === 'index') {
    const platform = nodePlatform();
    const entry = selectPlatform(parsed.manifests, platform);
    if (entry === undefined)
      throw new Error(`there is no image for ${platform.os}/${platform.architecture} in the index`);
    const child = await reader.manifest(entry.digest);
    if (child.digest !== entry.digest) throw new Error(`the manifest ${entry.digest} came as ${child.digest}`);
    manifests.push(child);
    parsed = parseManifest(child.mediaType, child.body);
  }
  if (parsed.kind !== 'image') throw new Error('the index names another index');
  const blobs = [parsed.config, ...parsed.layers.filter(({ foreign }) => !foreign)];
  return { root, manifests, blobs: [...new Map(blobs.map((blob) => [blob.digest, blob])).values()] };
}

interface Destination {
  readonly reader: MirrorReader;
  readonly layout: LayoutWriter | undefined;
  readonly progress: PullProgress;
}

async function pullBlobs(blobs: readonly Descriptor[], destination: Destination): Promise<void> {
  const left = [...blobs];
  const next = async (): Promise<void> => {
    for (let blob = left.shift(); blob !== undefined; blob = left.shift()) await pullBlob(blob, destination);
  };
  await Promise.all(Array.from({ length: blobsAtOnce }, next));
}

async function pullBlob({ digest, size }: Descriptor, { reader, layout, progress }: Destination): Promise<void> {
  progress.begin(digest, size);
  if (await layout?.has(digest, size)) return progress.done(digest, 'there already');
  const hash = createHash('sha256');
  const watched = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      progress.advance(digest, chunk.length);
      done(null, chunk);
    },
  });
  try {
    const sink = layout?.blobStream(digest) ?? new Writable({ write: (_chunk, _encoding, done) => done() });
    await pipeline(await reader.blob(digest), watched, sink);
    const actual = `sha256:${hash.digest('hex')}`;
    if (actual !== digest) throw new Error(`the blob ${digest} came as ${actual}`);
    await layout?.keep(digest);
  } catch (error) {
    await layout?.discard(digest);
    throw error;
  }
  progress.done(digest);
}

const noAuth = { username: '', password: '', auth: '', serverAddress: '', identityToken: '', registryToken: '' };

const sources = [
  ['peers', 'peerBytes'],
  ['mirrors', 'mirrorBytes'],
  ['registry', 'originBytes'],
  ['disk', 'diskBytes'],
  ['memory', 'memoryBytes'],
] as const;

function describe(image: string, { digest }: Manifest, summary: PullSummary, seconds: number): string {
  const mebibytes = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
  const parts = sources.flatMap(([name, key]) => (summary[key] > 0 ? [`${name} ${mebibytes(summary[key])}`] : []));
  return [
    `${image}@${digest}`,
    `${mebibytes(summary.imageBytes)} in ${seconds.toFixed(1)} s: ${parts.join(', ') || 'nothing had to be pulled'}`,
  ].join('\n');
}
