import { chmod, rm } from 'node:fs/promises';
import path from 'node:path';
import {
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import { loadSync, type ServiceDefinition } from '@grpc/proto-loader';
import { packageRoot } from '../paths.ts';
import type { AcceptedPull, PullEngine, PullRequest } from '../pull/engine.ts';
import type { PullHistory } from '../pull/history.ts';
import type { PullOutcome } from '../pull/observer.ts';
import type { StoreAdmin } from '../store/types.ts';
import type { Logger } from '../telemetry/log.ts';
import { traceContextOf } from '../telemetry/trace-context.ts';
import { runCacheMethod } from './cache-control.ts';
import { engineSocketPath } from './engine-socket.ts';
import type { Observation } from './observation.ts';
import type { Preheating, PreheatNews } from './preheating.ts';

/** The messages of proto/engine.proto as the loader gives them (camel case, defaults filled in). */
interface OpenSession {
  readonly image: string;
  readonly podName: string;
  readonly podNamespace: string;
  readonly podUid: string;
  readonly podLabels: Readonly<Record<string, string>>;
  readonly traceparent: string;
  readonly tracestate: string;
  readonly auth: {
    readonly username: string;
    readonly password: string;
    readonly auth: string;
    readonly serverAddress: string;
    readonly identityToken: string;
    readonly registryToken: string;
  } | null;
}

interface PreheatMessage {
  readonly image: string;
  readonly nodes: number;
  readonly traceparent: string;
  readonly tracestate: string;
}

/** As told by the supervisor: a pull of an earlier engine. */
interface LostMessage {
  readonly image: string;
  readonly rule: string;
  readonly podName: string;
  readonly podNamespace: string;
  readonly podUid: string;
  readonly traceparent: string;
  readonly tracestate: string;
  readonly began: number;
  readonly elapsed: number;
  readonly outcome: PullMessage['finish'] | null;
  readonly repeated: boolean;
  readonly cause: string;
}

interface PullMessage {
  readonly message?: 'open' | 'fallBack' | 'finish';
  readonly open?: OpenSession;
  readonly finish?: { readonly ok: boolean; readonly error: string };
}

type PullEvent =
  | { readonly accepted: { readonly rule: string } }
  | { readonly declined: { readonly reason: string } }
  | { readonly fellBack: { readonly served: number; readonly cause: string } }
  | {
      readonly summary: {
        readonly imageBytes: number;
        readonly memoryBytes: number;
        readonly diskBytes: number;
        readonly peerBytes: number;
        readonly mirrorBytes: number;
        readonly originBytes: number;
        readonly rule: string;
      };
    };

type PullStream = ServerDuplexStream<PullMessage, PullEvent>;

type JsonAnswer = { readonly json: string };

type PreheatStream = ServerWritableStream<PreheatMessage, JsonAnswer>;

export interface EngineServiceOptions {
  readonly engine: PullEngine;
  readonly store: StoreAdmin;
  readonly observation: Pick<Observation, 'answer'>;
  readonly preheating: Pick<Preheating, 'everywhere'>;
  readonly history: Pick<PullHistory, 'lost'>;
  /** Where the socket is made, open to this user alone. */
  readonly runDir: string;
  readonly log: Logger;
}

/**
 * Serves proto/engine.proto to the supervisor. One stream is one pull; the session ends with it, however it ends, so a
 * supervisor that dies leaves no session behind.
 */
export class EngineService {
  readonly #server = new Server();
  readonly #socket: string;

  constructor({ engine, store, observation, preheating, history, runDir, log }: EngineServiceOptions) {
    this.#socket = engineSocketPath(runDir);
    const proto = path.join(packageRoot, 'proto/engine.proto');
    const definitions = loadSync(proto, { defaults: true, oneofs: true, longs: Number });
    this.#server.addService(definitions['shoal.engine.v1.Engine'] as ServiceDefinition, {
      pull: (stream: PullStream) => servePull(stream, engine, log),
    });
    this.#server.addService(definitions['shoal.engine.v1.Control'] as ServiceDefinition, {
      cache: answering(({ method }: { readonly method: string }) => runCacheMethod(store, method)),
      explain: answering((question: OpenSession) => engine.explain(requestOf(question))),
      preheat: (stream: PreheatStream) => servePreheat(stream, preheating),
      observe: answering(({ about, name }: { readonly about: string; readonly name: string }) =>
        observation.answer(about, name),
      ),
      lost: answering((message: LostMessage) => noteLost(message, history)),
    });
  }

  async listen(): Promise<void> {
    // The supervisor runs one engine at a time: a socket that is there belongs to one that has died.
    await rm(this.#socket, { force: true });
    const previous = process.umask(0o177);
    try {
      await new Promise<void>((resolve, reject) => {
        this.#server.bindAsync(`unix:${this.#socket}`, ServerCredentials.createInsecure(), (error) =>
          error ? reject(error) : resolve(),
        );
      });
    } finally {
      process.umask(previous);
    }
    await chmod(this.#socket, 0o600);
  }

  close(): void {
    this.#server.forceShutdown();
  }
}

/** A method whose answer is JSON. */
function answering<Request>(work: (request: Request) => unknown) {
  return async (call: ServerUnaryCall<Request, JsonAnswer>, reply: sendUnaryData<JsonAnswer>): Promise<void> => {
    try {
      const result = await work(call.request);
      reply(null, { json: JSON.stringify(result) });
    } catch (error) {
      reply({ code: status.INTERNAL, details: error instanceof Error ? error.message : String(error) });
    }
  };
}

/** Each piece of news as it comes: a node may take an hour, and who asks wants to see the others meanwhile. */
async function servePreheat(stream: PreheatStream, preheating: Pick<Preheating, 'everywhere'>): Promise<void> {
  const tell = (news: PreheatNews) => stream.write({ json: JSON.stringify(news) });
  const { image, nodes, traceparent, tracestate } = stream.request;
  try {
    const question = { image, nodes, trace: traceContextOf(traceparent, tracestate) };
    await preheating.everywhere(question, { chosen: (chosen) => tell({ chosen }), ended: tell });
    stream.end();
  } catch (error) {
    stream.emit('error', { code: status.INTERNAL, details: error instanceof Error ? error.message : String(error) });
  }
}

function servePull(stream: PullStream, engine: PullEngine, log: Logger): void {
  let pull: AcceptedPull | undefined;
  let ended = false;
  const end = (outcome?: PullOutcome) => {
    if (ended) return;
    ended = true;
    pull?.close(outcome);
    stream.end();
  };
  stream.on('data', (message: PullMessage) => {
    if (ended) return;
    switch (message.message) {
      case 'open': {
        if (pull !== undefined || message.open === undefined) return end();
        const result = engine.open(requestOf(message.open));
        if (result.kind === 'declined') {
          stream.write({ declined: { reason: result.reason } });
          return end();
        }
        pull = result.pull;
        stream.write({ accepted: { rule: result.rule } });
        return;
      }
      case 'fallBack':
        if (pull !== undefined) stream.write({ fellBack: pull.fallBack() });
        return;
      case 'finish':
        if (pull !== undefined) stream.write({ summary: summaryMessage(pull) });
        return end(outcomeOf(message.finish));
      default:
        log.warn('a message of the supervisor has none of the known kinds: are both of the same version?');
        return end();
    }
  });
  stream.on('end', () => end());
  stream.on('cancelled', () => end());
  stream.on('error', () => end());
}

/** A pull that began while this engine ran is its own, and in its history already: it was only slow to answer. */
function noteLost(message: LostMessage, history: Pick<PullHistory, 'lost'>): null {
  const { image, rule, podNamespace: namespace, podName: name, podUid: uid, traceparent, tracestate } = message;
  const { began, elapsed: elapsedMs, outcome, repeated, cause } = message;
  if (began >= performance.timeOrigin) return null;
  history.lost({
    pull: {
      image,
      rule,
      ...(name && { pod: { namespace, name, ...(uid && { uid }) } }),
      ...(traceparent && { traceparent }),
    },
    ...(tracestate && { tracestate }),
    ...{ began, elapsedMs, outcome: outcomeOf(outcome ?? undefined), repeated, cause },
  });
  return null;
}

function requestOf(open: OpenSession): PullRequest {
  const { image, auth, podName, podNamespace, podUid, podLabels, traceparent, tracestate } = open;
  const named = podName !== '' || Object.keys(podLabels).length > 0;
  const pod = { name: podName, namespace: podNamespace, uid: podUid, labels: podLabels };
  const trace = { ...(traceparent !== '' && { traceparent }), ...(tracestate !== '' && { tracestate }) };
  return { image, auth: auth ?? {}, ...(named && { pod }), ...trace };
}

function outcomeOf(finish: PullMessage['finish']): PullOutcome {
  return finish?.ok === true ? { result: 'ok' } : { result: 'failed', error: finish?.error ?? '' };
}

function summaryMessage(pull: AcceptedPull): Extract<PullEvent, { summary: unknown }>['summary'] {
  const { imageBytes, bytes, rule } = pull.summary();
  return {
    imageBytes,
    memoryBytes: bytes.memory,
    diskBytes: bytes.disk,
    peerBytes: bytes.peer,
    mirrorBytes: bytes.mirror,
    originBytes: bytes.origin,
    rule,
  };
}
