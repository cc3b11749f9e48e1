import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { pathOfRegistry } from '../../src/config/path-registry.ts';
import { createMirror } from '../../src/mirror/mirror.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { digestOf, mediaTypes } from '../harness/oci-layout.ts';
import { run, runAnyway } from '../harness/process.ts';
import { Scope } from '../harness/scope.ts';
import { ScriptedBackend } from '../harness/scripted-backend.ts';
import { temporaryFolder } from '../harness/temp.ts';

/** skopeo shares its client (containers/image) with podman and CRI-O. */

const layers = [
  randomBytes(9 * 1024 * 1024),
  gzipSync(Buffer.alloc(100_000, 'text')),
  Buffer.from([0]),
  Buffer.alloc(0),
];
const config = Buffer.from(
  JSON.stringify({
    architecture: 'amd64',
    os: 'linux',
    config: { Labels: { who: 'shoal' } },
    rootfs: { type: 'layers', diff_ids: layers.map(digestOf) },
  }),
);
const describeBlob = (mediaType: string, bytes: Buffer) => ({ mediaType, digest: digestOf(bytes), size: bytes.length });
const manifest = Buffer.from(
  JSON.stringify({
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    config: describeBlob(mediaTypes.config, config),
    layers: layers.map((layer) => describeBlob(mediaTypes.layer, layer)),
  }),
);

let scope: Scope;
let backend: ScriptedBackend;
let registries: string;
const image = 'docker://reg.test:5000/team/app';

beforeEach(async () => {
  scope = new Scope();
  backend = new ScriptedBackend();
  for (const bytes of [config, ...layers]) backend.addBlob(bytes);
  backend.addManifest('v1', { mediaType: mediaTypes.manifest, body: manifest });
  const mirror = createMirror({
    host: '127.0.0.1',
    port: 0,
    backend,
    secret: 'secret',
    pathFormSessions: true,
    firstByteTimeout: 30,
    stallTimeout: 30,
    maxRequests: 16,
    log: createLogger({ name: 'test', level: 'silent' }),
  });
  await mirror.listen();
  scope.defer(() => mirror.close());
  // As `shoal runtime configure` writes it; the registry itself is not there at all.
  const folder = await temporaryFolder(scope, 'registries');
  registries = path.join(folder, 'registries.conf');
  await writeFile(
    registries,
    `[[registry]]
prefix = "reg.test:5000"
location = "reg.test:5000"
[[registry.mirror]]
location = "127.0.0.1:${mirror.address.port}/${pathOfRegistry('reg.test:5000')}"
insecure = true
`,
  );
});

afterEach(async () => {
  await scope.close();
  expect(backend).toMatchObject({ unreleased: 0, releasedTwice: 0 });
});

describe('skopeo', () => {
  it('inspects an image through the mirror', async () => {
    const text = await run(['skopeo', '--registries-conf', registries, 'inspect', '--no-tags', `${image}:v1`]);
    expect(JSON.parse(text)).toMatchObject({ Digest: digestOf(manifest), Labels: { who: 'shoal' } });
  });

  it.each(['tag', 'digest'])('copies an image through the mirror without a changed byte (by %s)', async (by) => {
    const folder = await temporaryFolder(scope, 'skopeo');
    const reference = by === 'tag' ? `${image}:v1` : `${image}@${digestOf(manifest)}`;
    await run(['skopeo', '--registries-conf', registries, 'copy', '--preserve-digests', reference, `dir:${folder}`]);
    expect(await readFile(path.join(folder, 'manifest.json'))).toEqual(manifest);
    for (const bytes of [config, ...layers]) {
      const copied = await readFile(path.join(folder, digestOf(bytes).slice('sha256:'.length)));
      expect(copied.equals(bytes)).toBe(true);
    }
    expect(backend.requests[0]?.requester).toMatchObject({
      registry: 'reg.test:5000',
      repository: 'team/app',
      runtime: true,
    });
  });

  it('shows the words of the mirror when it has no such tag', async () => {
    const result = await runAnyway(['skopeo', '--registries-conf', registries, 'inspect', '--no-tags', `${image}:v2`]);
    expect(result.code).not.toBe(0);
    expect(result.stderr).toContain('v2: not there');
  });
});
