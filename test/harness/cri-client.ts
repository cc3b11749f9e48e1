import path from 'node:path';
import {
  type CallOptions,
  Client,
  credentials,
  Metadata,
  type MethodDefinition,
  type ServiceDefinition,
  type ServiceError,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import type { Scope } from './scope.ts';

const definitions = loadSync(path.join(import.meta.dirname, 'protos/runtime.proto'), {
  keepCase: true,
  longs: Number,
  defaults: true,
});

export interface CriImage {
  readonly id: string;
  readonly repo_tags: readonly string[];
  readonly repo_digests: readonly string[];
  readonly size: number;
}

export interface CriAuth {
  readonly username?: string;
  readonly password?: string;
  readonly auth?: string;
  readonly server_address?: string;
  readonly identity_token?: string;
  readonly registry_token?: string;
}

export interface PullOptions {
  readonly auth?: CriAuth;
  /** Aborting it cancels the RPC, as the kubelet does. */
  readonly signal?: AbortSignal;
  /** gRPC metadata, such as a kubelet's `traceparent`. */
  readonly metadata?: Readonly<Record<string, string>>;
  readonly pod?: {
    readonly name: string;
    readonly namespace: string;
    readonly labels?: Record<string, string>;
    readonly annotations?: Record<string, string>;
  };
}

function method(service: string, name: string): MethodDefinition<object, object> {
  const found = (definitions[`runtime.v1.${service}`] as ServiceDefinition | undefined)?.[name];
  if (found === undefined) throw new Error(`runtime.proto has no ${service}.${name}`);
  return found as MethodDefinition<object, object>;
}

/** A kubelet's view of a CRI socket: the runtime's own or Shoal's. */
export class CriClient {
  readonly #client: Client;

  constructor(scope: Scope, socket: string) {
    this.#client = new Client(`unix:${socket}`, credentials.createInsecure(), {
      'grpc.max_receive_message_length': 16 * 1024 * 1024,
      // A socket that comes back is to be used at once, not after a backoff made for the internet.
      'grpc.initial_reconnect_backoff_ms': 50,
      'grpc.max_reconnect_backoff_ms': 200,
    });
    scope.defer(() => this.#client.close());
  }

  version(): Promise<{ runtime_name: string; runtime_version: string }> {
    return this.#call('RuntimeService', 'Version', { version: 'v1' });
  }

  /** Any other call of the RuntimeService that runtime.proto has. */
  runtime<T>(name: string, request: object): Promise<T> {
    return this.#call('RuntimeService', name, request);
  }

  /** Pulls and gives the image's reference, as the kubelet gets it. Rejects with grpc-js' ServiceError. */
  async pullImage(image: string, options: PullOptions = {}): Promise<string> {
    const { pod } = options;
    const request = {
      image: { image },
      ...(options.auth === undefined ? {} : { auth: options.auth }),
      ...(pod === undefined
        ? {}
        : {
            sandbox_config: {
              metadata: { name: pod.name, namespace: pod.namespace, uid: `${pod.namespace}-${pod.name}` },
              labels: pod.labels ?? {},
              annotations: pod.annotations ?? {},
            },
          }),
    };
    const response = await this.#call<{ image_ref: string }>('ImageService', 'PullImage', request, options);
    return response.image_ref;
  }

  /** Undefined when the runtime does not have the image. */
  async imageStatus(image: string): Promise<CriImage | undefined> {
    const response = await this.#call<{ image: CriImage | null }>('ImageService', 'ImageStatus', { image: { image } });
    return response.image ?? undefined;
  }

  async listImages(): Promise<readonly CriImage[]> {
    return (await this.#call<{ images: CriImage[] }>('ImageService', 'ListImages', {})).images;
  }

  /** Removes the image and everything that only it held; the runtime collects its garbage before it answers. */
  async removeImage(image: string): Promise<void> {
    await this.#call('ImageService', 'RemoveImage', { image: { image } });
  }

  /** The folders that the runtime keeps images in. */
  async imageFileSystems(): Promise<readonly string[]> {
    const response = await this.#call<{ image_filesystems: Array<{ fs_id: { mountpoint: string } }> }>(
      'ImageService',
      'ImageFsInfo',
      {},
    );
    return response.image_filesystems.map((system) => system.fs_id.mountpoint);
  }

  #call<T>(service: string, name: string, request: object, { signal, metadata = {} }: PullOptions = {}): Promise<T> {
    const { path: rpc, requestSerialize, responseDeserialize } = method(service, name);
    const options: CallOptions = signal === undefined ? { deadline: Date.now() + 120_000 } : {};
    return new Promise((resolve, reject) => {
      const call = this.#client.makeUnaryRequest(
        rpc,
        requestSerialize,
        responseDeserialize,
        request,
        Metadata.fromHttp2Headers(metadata),
        options,
        (error: ServiceError | null, value) => {
          signal?.removeEventListener('abort', cancel);
          if (error !== null) reject(error);
          else resolve(value as T);
        },
      );
      const cancel = (): void => call.cancel();
      signal?.addEventListener('abort', cancel, { once: true });
    });
  }
}
