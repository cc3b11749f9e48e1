import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type MirrorBackend, PullError, type Requester } from '../pull/types.ts';
import type { Logger } from '../telemetry/log.ts';
import { untilAborted } from '../until-aborted.ts';
import { etagOf, planBlob } from './blob-plan.ts';
import { sendBlob } from './blob-sender.ts';
import { Patience } from './patience.ts';
import { Refusal, refusalOf, sendRefusal } from './refusal.ts';
import type { RequestSpans } from './request-spans.ts';
import { createIdentifier, type RequesterOptions } from './requester.ts';
import { type Route, route } from './route.ts';

export interface HandlerOptions extends RequesterOptions {
  readonly backend: MirrorBackend;
  /** Seconds to the first byte of an answer. */
  readonly firstByteTimeout: number;
  /** Seconds without a byte in the middle of a blob. */
  readonly stallTimeout: number;
  readonly log: Logger;
  /** Records the requests; without it nothing is. */
  readonly spans?: RequestSpans | undefined;
}

type Content = Exclude<Route, { kind: 'version' }>;
type Method = 'GET' | 'HEAD';

/** What became of a request. */
export interface Served {
  /** `any`: it was not looked at, because there were too many. */
  readonly kind: Route['kind'] | 'any';
  /** The status of a whole answer; `cut` when it was ended in the middle, `left` when the client was gone before. */
  readonly result: string;
}

/** Answers one request; `abort` ends the work on it. Never rejects. */
export function createHandler(options: HandlerOptions) {
  const { backend, firstByteTimeout, stallTimeout, log, spans } = options;
  const identify = createIdentifier(options);

  return async (request: IncomingMessage, response: ServerResponse, abort: AbortController): Promise<Served> => {
    let asked: Route = { kind: 'version' };
    let end: ((served: Served) => void) | undefined;
    const patience = new Patience(abort);
    patience.start(
      firstByteTimeout,
      () => new PullError('unavailable', `nothing came within ${firstByteTimeout} s (mirror.firstByteTimeout)`),
    );
    const became = (result: string): Served => {
      const served = { kind: asked.kind, result };
      end?.(served);
      return served;
    };
    try {
      const method = allowed(request.method);
      asked = route(request.url ?? '');
      if (asked.kind === 'version') sendVersion(response);
      else {
        const requester = identify(request, asked, asked.form);
        end = spans?.begin(request, requester, asked, backend.scopeOf?.(requester));
        if (asked.kind === 'manifest') await sendManifest(asked, method, requester, response, abort.signal);
        else await serveBlob(asked, method, { request, requester }, response, abort.signal, patience);
      }
    } catch (error) {
      if (response.closed) return became('left');
      const cut = response.headersSent;
      fail(asked, error, response);
      if (cut) return became('cut');
    } finally {
      patience.stop();
    }
    return became(String(response.statusCode));
  };

  async function sendManifest(
    asked: Content,
    method: Method,
    requester: Requester,
    response: ServerResponse,
    signal: AbortSignal,
  ): Promise<void> {
    const manifest = await untilAborted(backend.manifest(requester, asked.reference, method, signal), signal);
    if (method === 'GET' && manifest.body?.length !== manifest.size) {
      throw new Error(`the backend gave ${manifest.body?.length} bytes of a manifest of ${manifest.size}`);
    }
    response.writeHead(200, {
      'Content-Type': manifest.mediaType,
      'Content-Length': manifest.size,
      'Docker-Content-Digest': manifest.digest,
      ETag: etagOf(manifest.digest),
    });
    response.end(manifest.body);
  }

  async function serveBlob(
    asked: Content,
    method: Method,
    { request, requester }: { readonly request: IncomingMessage; readonly requester: Requester },
    response: ServerResponse,
    signal: AbortSignal,
    patience: Patience,
  ): Promise<void> {
    const blob = await untilAborted(backend.openBlob(requester, asked.reference, signal), signal);
    const { range, 'if-range': ifRange } = request.headers;
    const plan = planBlob({ method, range, ifRange: ifRange?.toString() }, blob, randomBytes(16).toString('hex'));
    if (method === 'HEAD') response.writeHead(plan.status, plan.headers).end();
    else await sendBlob(response, blob, plan, { signal, patience, stallTimeout });
  }

  /** Says what went wrong, to the client when that is still possible, and to the log. */
  function fail(asked: Route, error: unknown, response: ServerResponse): void {
    const refusal = refusalOf(error, asked.kind);
    const what = { ...asked, err: refusal.cause ?? error };
    if (response.headersSent)
      log.warn(what, 'a blob was cut off in the middle; the runtime asks for the rest elsewhere');
    else if (refusal.cause !== undefined) log.error(what, 'an answer of the mirror failed unexpectedly');
    else log.debug({ ...asked, status: refusal.status, cause: refusal.message }, 'the mirror refuses a request');
    if (!response.headersSent) sendRefusal(response, refusal);
  }
}

function allowed(method: string | undefined): Method {
  if (method === 'GET' || method === 'HEAD') return method;
  throw new Refusal(405, 'UNSUPPORTED', 'the mirror only serves pulls: GET and HEAD', {
    headers: { Allow: 'GET, HEAD' },
  });
}

function sendVersion(response: ServerResponse): void {
  const body = '{}';
  response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': body.length });
  response.end(body);
}
