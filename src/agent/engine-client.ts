import path from 'node:path';
import { Client, type ClientDuplexStream, credentials, type StatusObject, status } from '@grpc/grpc-js';
import { loadSync, type MethodDefinition, type ServiceDefinition } from '@grpc/proto-loader';
import type {
  FallBackResult,
  FinishedPull,
  PullDecision,
  PullRequest,
  PullSession,
  PullSessions,
  PullSummary,
} from '../cri/types.ts';
import { packageRoot } from '../paths.ts';
import { untilAborted } from '../until-aborted.ts';

/** PullEvent of proto/engine.proto as the loader gives it. */
type PullEvent =
  | { readonly event: 'accepted'; readonly accepted: { readonly rule: string } }
  | { readonly event: 'declined'; readonly declined: { readonly reason: string } }
  | { readonly event: 'fellBack'; readonly fellBack: FallBackResult }
  | { readonly event: 'summary'; readonly summary: PullSummary }
  | { readonly event?: undefined };

type PullStream = ClientDuplexStream<object, PullEvent>;

const pull = (() => {
  const definitions = loadSync(path.join(packageRoot, 'proto/engine.proto'), {
    defaults: true,
    oneofs: true,
    // Sizes of images: far below 2^53.
    longs: Number,
  });
  const service = definitions['shoal.engine.v1.Engine'] as ServiceDefinition;
  return service.Pull as MethodDefinition<object, PullEvent>;
})();

/** The engine is gone, or its stream ended before it had answered. */
export class EngineAwayError extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = 'EngineAwayError';
  }
}

/** The engine behind its socket, as the CRI proxy sees it. */
export class EngineClient implements PullSessions {
  readonly #address: string;

  constructor(socketPath: string) {
    this.#address = `unix:${socketPath}`;
  }

  /**
   * Begins a session on a connection of its own: pulls are rare beside what they cost, and a fresh connection knows at
   * once whether the engine is there, without a channel's memory of when it last was not.
   */
  open(request: PullRequest): PullSession {
    const client = new Client(this.#address, credentials.createInsecure(), {
      'grpc.use_local_subchannel_pool': 1,
      'grpc.enable_http_proxy': 0,
    });
    return new EngineSession(client, request);
  }
}

class EngineSession implements PullSession {
  readonly #client: Client;
  readonly #stream: PullStream;
  readonly #decision = Promise.withResolvers<PullDecision>();
  readonly #fellBack = Promise.withResolvers<FallBackResult>();
  readonly #summary = Promise.withResolvers<PullSummary>();
  #decided: PullDecision | undefined;

  constructor(client: Client, request: PullRequest) {
    this.#client = client;
    // Whoever asks gets the rejection; where nobody asks it is no error.
    this.#fellBack.promise.catch(() => undefined);
    this.#summary.promise.catch(() => undefined);
    this.#stream = client.makeBidiStreamRequest(pull.path, pull.requestSerialize, pull.responseDeserialize);
    this.#stream.on('data', (event: PullEvent) => this.#take(event));
    this.#stream.on('status', (end: StatusObject) => this.#ended(end));
    // The status says the same.
    this.#stream.on('error', () => undefined);
    this.#stream.write({ open: openMessage(request) });
  }

  get decision(): PullDecision | undefined {
    return this.#decided;
  }

  decided(): Promise<PullDecision> {
    return this.#decision.promise;
  }

  fallBack(signal: AbortSignal): Promise<FallBackResult> {
    this.#stream.write({ fallBack: {} });
    return answerWithin(this.#fellBack.promise, signal);
  }

  finish(outcome: FinishedPull, signal: AbortSignal): Promise<PullSummary> {
    this.#stream.write({ finish: outcome });
    return answerWithin(this.#summary.promise, signal);
  }

  close(): void {
    this.#stream.cancel();
    this.#client.close();
  }

  #take(event: PullEvent): void {
    switch (event.event) {
      case 'accepted':
        this.#decide({ kind: 'accepted', rule: event.accepted.rule });
        break;
      case 'declined':
        this.#decide({ kind: 'declined', reason: event.declined.reason });
        break;
      case 'fellBack':
        this.#fellBack.resolve(event.fellBack);
        break;
      case 'summary':
        this.#summary.resolve(event.summary);
        break;
    }
  }

  #decide(decision: PullDecision): void {
    if (this.#decided !== undefined) return;
    this.#decided = decision;
    this.#decision.resolve(decision);
  }

  #ended(end: StatusObject): void {
    const reason = end.code === status.OK ? 'the engine ended the session' : `the engine is away: ${end.details}`;
    this.#decide({ kind: 'away', reason });
    const error = new EngineAwayError(reason);
    this.#fellBack.reject(error);
    this.#summary.reject(error);
  }
}

function openMessage({ image, auth, pod, traceparent, tracestate }: PullRequest): object {
  return {
    image,
    ...(traceparent === undefined ? {} : { traceparent }),
    ...(tracestate === undefined ? {} : { tracestate }),
    ...(auth === undefined ? {} : { auth }),
    ...(pod === undefined
      ? {}
      : {
          podName: pod.name,
          podNamespace: pod.namespace,
          podUid: pod.uid,
          podLabels: pod.labels,
          podAnnotations: pod.annotations,
        }),
  };
}

async function answerWithin<T>(answer: Promise<T>, signal: AbortSignal): Promise<T> {
  try {
    return await untilAborted(answer, signal);
  } catch (error) {
    throw signal.aborted ? new EngineAwayError('the engine did not answer in time') : error;
  }
}
