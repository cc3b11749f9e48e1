import path from 'node:path';
import { promisify } from 'node:util';
import { gunzip, inflate } from 'node:zlib';
import { loadSync, type MethodDefinition, type ServiceDefinition } from '@grpc/proto-loader';
import { packageRoot } from '../paths.ts';
import { maximumMessageBytes, readSingleMessage } from './grpc.ts';
import type { PullRequest } from './types.ts';

/** PullImageRequest of proto/cri.proto as the loader gives it: camel case, absent messages null, the rest filled in. */
interface DecodedRequest {
  readonly image: { readonly image: string } | null;
  readonly auth: PullRequest['auth'] | null;
  readonly sandboxConfig: {
    readonly metadata: { readonly name: string; readonly uid: string; readonly namespace: string } | null;
    readonly labels: Readonly<Record<string, string>>;
    readonly annotations: Readonly<Record<string, string>>;
  } | null;
}

const pullImage = (() => {
  const definitions = loadSync(path.join(packageRoot, 'proto/cri.proto'), { defaults: true });
  const service = definitions['shoal.cri.ImageService'] as ServiceDefinition;
  return service.PullImage as MethodDefinition<object, object>;
})();

/** The message encodings that grpc-go and grpc-js know. */
const decompressors: Readonly<Record<string, (data: Buffer, options: { maxOutputLength: number }) => Promise<Buffer>>> =
  { gzip: promisify(gunzip), deflate: promisify(inflate) };

/**
 * Reads a copy of a PullImage request's body. `encoding` is its `grpc-encoding` header. Resolves with `undefined` when
 * it can't be read: then the call is no business of ours.
 */
export async function readPullRequest(body: Buffer, encoding: string | undefined): Promise<PullRequest | undefined> {
  try {
    const message = readSingleMessage(body);
    if (message === undefined) return undefined;
    const payload = message.compressed
      ? await decompressors[encoding ?? '']?.(message.payload, { maxOutputLength: maximumMessageBytes })
      : message.payload;
    return payload === undefined ? undefined : toRequest(pullImage.requestDeserialize(payload) as DecodedRequest);
  } catch {
    // Not protobuf, not UTF-8, not gzip: the runtime will say so to the kubelet.
    return undefined;
  }
}

function toRequest({ image, auth, sandboxConfig }: DecodedRequest): PullRequest | undefined {
  if (image === null || image.image === '') return undefined;
  return {
    image: image.image,
    ...(auth === null || auth === undefined ? {} : { auth }),
    ...(sandboxConfig === null
      ? {}
      : {
          pod: {
            name: sandboxConfig.metadata?.name ?? '',
            namespace: sandboxConfig.metadata?.namespace ?? '',
            uid: sandboxConfig.metadata?.uid ?? '',
            labels: sandboxConfig.labels,
            annotations: sandboxConfig.annotations,
          },
        }),
  };
}
