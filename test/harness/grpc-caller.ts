import {
  type CallOptions,
  type ChannelOptions,
  Client,
  type ClientDuplexStream,
  credentials,
  Metadata,
  type StatusObject,
} from '@grpc/grpc-js';
import { pairsOf } from './grpc-backend.ts';
import type { Scope } from './scope.ts';

const raw = (bytes: Buffer): Buffer => bytes;

/** All that a client sees of a call. */
export interface Observed {
  readonly initial: readonly string[] | undefined;
  readonly messages: readonly Buffer[];
  readonly code: number;
  readonly details: string;
  readonly trailing: readonly string[];
}

export type CallStream = ClientDuplexStream<Buffer, Buffer>;

/** A grpc-js client of a unix socket whose messages are bytes. */
export class GrpcCaller {
  readonly #client: Client;

  constructor(scope: Scope, socket: string, options: ChannelOptions = {}) {
    this.#client = new Client(`unix:${socket}`, credentials.createInsecure(), {
      'grpc.max_receive_message_length': 16 * 1024 * 1024,
      'grpc.max_send_message_length': 16 * 1024 * 1024,
      'grpc.use_local_subchannel_pool': 1,
      'grpc.initial_reconnect_backoff_ms': 50,
      'grpc.max_reconnect_backoff_ms': 100,
      ...options,
    });
    scope.defer(() => this.#client.close());
  }

  /** Begins a call; the caller writes and ends it. */
  begin(path: string, metadata = new Metadata(), options: CallOptions = {}): CallStream {
    return this.#client.makeBidiStreamRequest(path, raw, raw, metadata, options);
  }

  /** Sends the messages, ends the request and gives all that comes back. */
  call(
    path: string,
    messages: readonly Buffer[],
    metadata = new Metadata(),
    options: CallOptions = {},
  ): Promise<Observed> {
    const stream = this.begin(path, metadata, options);
    const observed = observe(stream);
    for (const message of messages) stream.write(message);
    stream.end();
    return observed;
  }
}

/** Everything that comes back on a call, once it has ended, however it ends. */
export function observe(stream: CallStream): Promise<Observed> {
  return new Promise((resolve) => {
    let initial: readonly string[] | undefined;
    const messages: Buffer[] = [];
    stream.on('metadata', (metadata: Metadata) => {
      initial = pairsOf(metadata).filter((pair) => !pair.startsWith('date:'));
    });
    stream.on('data', (message: Buffer) => messages.push(message));
    stream.on('error', () => undefined);
    stream.on('status', (status: StatusObject) => {
      resolve({
        initial,
        messages,
        code: status.code,
        details: status.details,
        trailing: pairsOf(status.metadata).filter((pair) => !pair.startsWith('date:')),
      });
    });
  });
}
