/**
 * A runtime's image service as a process, for the network namespace that it is started in. Arguments: its socket, the URL of
 * the mirror (empty: none) and the file of the loopback secret, read at every pull.
 */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData, status } from '@grpc/grpc-js';
import { loadSync, type ServiceDefinition } from '@grpc/proto-loader';
import type { CriAuth, CriImage } from './cri-client.ts';
import { type PulledImage, Puller } from './pulling.ts';

const [socket = '', mirrorUrl = '', secretFile = ''] = process.argv.slice(2);
const secret = (): Record<string, string> =>
  existsSync(secretFile) ? { 'x-shoal-secret': readFileSync(secretFile, 'utf8').trim() } : {};
const puller = new Puller(
  mirrorUrl === ''
    ? undefined
    : {
        url: mirrorUrl,
        get headers() {
          return secret();
        },
      },
);
const images = new Map<string, PulledImage>();

type Call<Request> = ServerUnaryCall<Request, object>;
type Reply = sendUnaryData<object>;
interface ImageRequest {
  readonly image: { readonly image: string };
}

const describe = ({ image, digest, config }: PulledImage): CriImage => ({
  id: config,
  repo_tags: [image],
  repo_digests: [`${image.replace(/[:@][^/]*$/, '')}@${digest}`],
  size: 0,
});

const definitions = loadSync(path.join(import.meta.dirname, 'protos/runtime.proto'), { keepCase: true });
const server = new Server();
server.addService(definitions['runtime.v1.RuntimeService'] as ServiceDefinition, {
  Version: (_call: Call<object>, reply: Reply) => reply(null, { runtime_name: 'stand-in', runtime_version: '1' }),
});
server.addService(definitions['runtime.v1.ImageService'] as ServiceDefinition, {
  PullImage(call: Call<ImageRequest & { readonly auth: CriAuth | null }>, reply: Reply) {
    const { image, auth } = call.request;
    puller.pull(image.image, auth ?? {}).then(
      (pulled) => {
        images.set(image.image, pulled);
        reply(null, { image_ref: pulled.config });
      },
      (error: unknown) => reply({ code: status.UNKNOWN, details: String(error) }),
    );
  },
  ImageStatus(call: Call<ImageRequest>, reply: Reply) {
    const found = images.get(call.request.image.image);
    reply(null, found === undefined ? {} : { image: describe(found) });
  },
  ListImages: (_call: Call<object>, reply: Reply) => reply(null, { images: [...images.values()].map(describe) }),
  RemoveImage(call: Call<ImageRequest>, reply: Reply) {
    images.delete(call.request.image.image);
    // Of what nobody says which image it belongs to any more, nothing is kept.
    if (images.size === 0) puller.clear();
    reply(null, {});
  },
  ImageFsInfo: (_call: Call<object>, reply: Reply) => reply(null, { image_filesystems: [] }),
});
server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), (error) => {
  if (error !== null) throw error;
  console.log('serving');
});
process.once('SIGTERM', () => process.exit());
