import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData, status } from '@grpc/grpc-js';
import { loadSync, type ServiceDefinition } from '@grpc/proto-loader';
import type { CriAuth } from './cri-client.ts';
import { digestOf } from './oci-layout.ts';
import { run } from './process.ts';
import type { Scope } from './scope.ts';
import { temporaryFolder } from './temp.ts';

/** A runtime that pulls with the library that CRI-O pulls with, containers/image, in the shape of skopeo. */
export interface SkopeoRuntime {
  /** Named like CRI-O's: Shoal goes by that. */
  readonly socket: string;
  /** Digests of all blobs that it has of the image pulled last; each is hashed and must be what it is called. */
  verifiedContent(): Promise<readonly string[]>;
  /** Forgets what it pulled. */
  clear(): Promise<void>;
}

type Call = ServerUnaryCall<{ readonly image: { readonly image: string }; readonly auth: CriAuth | null }, object>;
type Reply = sendUnaryData<object>;

/** Starts one that goes by `registriesConf` at each pull; gone when the scope closes. */
export async function startSkopeoRuntime(scope: Scope, registriesConf: string): Promise<SkopeoRuntime> {
  const folder = await temporaryFolder(scope, 'skopeo-runtime');
  const socket = path.join(folder, 'crio.sock');
  const content = path.join(folder, 'content');
  await mkdir(content);

  async function pull(image: string, auth: CriAuth | null): Promise<string> {
    await rm(content, { recursive: true, force: true });
    const credentials = auth?.username ? ['--src-creds', `${auth.username}:${auth.password}`] : [];
    const source = `docker://${image}`;
    await run(['skopeo', '--registries-conf', registriesConf, 'copy', ...credentials, source, `dir:${content}`]);
    return digestOf(await readFile(path.join(content, 'manifest.json')));
  }

  const definitions = loadSync(path.join(import.meta.dirname, 'protos/runtime.proto'), { keepCase: true });
  const server = new Server();
  server.addService(definitions['runtime.v1.ImageService'] as ServiceDefinition, {
    PullImage({ request: { image, auth } }: Call, reply: Reply) {
      pull(image.image, auth).then(
        (digest) => reply(null, { image_ref: digest }),
        (error: unknown) => reply({ code: status.UNKNOWN, details: String(error) }),
      );
    },
  });
  await promisify(server.bindAsync.bind(server))(`unix:${socket}`, ServerCredentials.createInsecure());
  scope.defer(() => server.forceShutdown());
  return {
    socket,
    async verifiedContent() {
      // `dir:` calls the manifest and its own version by names, each blob by the hex digits of its digest.
      const digests = [digestOf(await readFile(path.join(content, 'manifest.json')))];
      for (const name of (await readdir(content)).filter((entry) => /^[0-9a-f]{64}$/.test(entry))) {
        const actual = digestOf(await readFile(path.join(content, name)));
        if (actual !== `sha256:${name}`) throw new Error(`skopeo holds sha256:${name}, whose bytes are ${actual}`);
        digests.push(actual);
      }
      return digests.sort();
    },
    async clear() {
      await rm(content, { recursive: true, force: true });
    },
  };
}
