import {
  type Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type UntypedHandleCall,
} from '@grpc/grpc-js';
import type { Scope } from './scope.ts';

/** One call of the backend, whatever its kind: bytes in, bytes out. */
export type BackendCall = ServerDuplexStream<Buffer, Buffer>;

export interface GrpcBackend {
  /** Stops it at once: every connection breaks. */
  kill(): void;
}

const raw = (bytes: Buffer): Buffer => bytes;

/** A grpc-js server on a unix socket, in a runtime's place. Methods by path; messages are bytes. */
export async function startGrpcBackend(
  scope: Scope,
  socket: string,
  methods: Readonly<Record<string, (call: BackendCall) => void>>,
): Promise<GrpcBackend> {
  const server = new Server({
    'grpc.max_receive_message_length': 16 * 1024 * 1024,
    'grpc.max_send_message_length': 16 * 1024 * 1024,
  });
  const definition = Object.fromEntries(
    Object.keys(methods).map((path) => [
      path,
      {
        path,
        requestStream: true,
        responseStream: true,
        requestSerialize: raw,
        requestDeserialize: raw,
        responseSerialize: raw,
        responseDeserialize: raw,
      },
    ]),
  );
  server.addService(definition, methods as Record<string, UntypedHandleCall>);
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), (error) =>
      error ? reject(error) : resolve(),
    );
  });
  scope.defer(() => server.forceShutdown());
  return { kill: () => server.forceShutdown() };
}

/** Metadata as pairs that compare: binary values as base64. */
export function pairsOf(metadata: Metadata): string[] {
  const names = Object.keys(metadata.getMap()).sort();
  return names.flatMap((name) =>
    metadata.get(name).map((value) => `${name}: ${Buffer.isBuffer(value) ? value.toString('base64') : value}`),
  );
}
