import path from 'node:path';
import { Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import { loadSync, type MethodDefinition, type ServiceDefinition } from '@grpc/proto-loader';
import { packageRoot } from '../paths.ts';
import { engineSocketPath } from './engine-socket.ts';

type JsonAnswer = { readonly json: string };

let loaded: ServiceDefinition | undefined;

/** Read when it is first needed: not every command asks the engine. */
function control(): ServiceDefinition {
  loaded ??= loadSync(path.join(packageRoot, 'proto/engine.proto'))['shoal.engine.v1.Control'] as ServiceDefinition;
  return loaded;
}

export interface WaitOptions {
  /** An engine that is away is waited for. */
  readonly waits?: boolean;
  readonly signal?: AbortSignal;
}

/** Milliseconds between attempts to reach an engine that is waited for. */
const reconnectMs = 1_000;

/**
 * Calls a method of the running engine's `Control` service and gives its JSON answer, taken apart. A connection of its own
 * knows at once whether the engine is there. Rejects with a gRPC `ServiceError`: code UNAVAILABLE when no engine runs,
 * DEADLINE_EXCEEDED after `boundMs` milliseconds.
 */
export function callControl(
  runDir: string,
  method: 'Cache' | 'Observe' | 'Explain' | 'Lost',
  request: object,
  boundMs: number,
  { signal, waits = false }: WaitOptions = {},
): Promise<unknown> {
  const definition = control()[method] as MethodDefinition<object, JsonAnswer>;
  return new Promise((resolve, reject) => {
    const client = clientOf(runDir);
    const call = client.makeUnaryRequest(
      definition.path,
      definition.requestSerialize,
      definition.responseDeserialize,
      request,
      new Metadata({ waitForReady: waits }),
      { deadline: Date.now() + boundMs },
      (error: ServiceError | null, answer?: JsonAnswer) => {
        signal?.removeEventListener('abort', abort);
        client.close();
        if (error) reject(error);
        else resolve(JSON.parse(answer?.json || 'null'));
      },
    );
    const abort = () => call.cancel();
    signal?.addEventListener('abort', abort, { once: true });
    if (signal?.aborted) abort();
  });
}

/** The answers of a method that has several, as they come. Throws as `callControl` does. */
export async function* followControl(
  runDir: string,
  method: 'Preheat',
  request: object,
  boundMs: number,
): AsyncGenerator<unknown, void, undefined> {
  const definition = control()[method] as MethodDefinition<object, JsonAnswer>;
  const client = clientOf(runDir);
  const { path: name, requestSerialize, responseDeserialize } = definition;
  const deadline = Date.now() + boundMs;
  const call = client.makeServerStreamRequest(name, requestSerialize, responseDeserialize, request, { deadline });
  try {
    for await (const { json } of call as AsyncIterable<JsonAnswer>) yield JSON.parse(json);
  } finally {
    call.cancel();
    client.close();
  }
}

function clientOf(runDir: string): Client {
  return new Client(`unix:${engineSocketPath(runDir)}`, credentials.createInsecure(), {
    'grpc.use_local_subchannel_pool': 1,
    'grpc.enable_http_proxy': 0,
    'grpc.max_reconnect_backoff_ms': reconnectMs,
  });
}
