import type { ServerResponse } from 'node:http';
import { PullError, type PullErrorKind } from '../pull/types.ts';

/** Error codes of the OCI distribution specification; UNAVAILABLE is docker's registry's word for a 503. */
export type RefusalCode =
  | 'BLOB_UNKNOWN'
  | 'DIGEST_INVALID'
  | 'MANIFEST_INVALID'
  | 'MANIFEST_UNKNOWN'
  | 'NAME_INVALID'
  | 'RANGE_INVALID'
  | 'UNAUTHORIZED'
  | 'UNAVAILABLE'
  | 'UNSUPPORTED';

/**
 * An answer without content. Never 429 or 408: containerd would try those again at once, six times, instead of going on
 * to the registry.
 */
export class Refusal extends Error {
  readonly status: 400 | 401 | 404 | 405 | 416 | 503;
  readonly code: RefusalCode;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: Refusal['status'],
    code: RefusalCode,
    message: string,
    options: { readonly headers?: Readonly<Record<string, string>>; readonly cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'Refusal';
    this.status = status;
    this.code = code;
    this.headers = options.headers ?? {};
  }
}

/** containerd answers 401 with the pod's credentials when it has some, and goes on to the registry when not. */
const challenge = { 'WWW-Authenticate': 'Basic realm="shoal"' };

/** What the runtime is told about an error. One that nobody foresaw is a 503 that keeps its cause for the log only. */
export function refusalOf(error: unknown, kind: 'manifest' | 'blob' | 'version'): Refusal {
  if (error instanceof Refusal) return error;
  if (!(error instanceof PullError)) {
    return new Refusal(503, 'UNAVAILABLE', "something unexpected went wrong; the agent's log has the cause", {
      cause: error,
    });
  }
  const { message } = error;
  const answers: Record<PullErrorKind, () => Refusal> = {
    'not-found': () => new Refusal(404, kind === 'blob' ? 'BLOB_UNKNOWN' : 'MANIFEST_UNKNOWN', message),
    challenge: () => new Refusal(401, 'UNAUTHORIZED', message, { headers: challenge }),
    unauthorized: () => new Refusal(401, 'UNAUTHORIZED', message, { headers: challenge }),
    unavailable: () => new Refusal(503, 'UNAVAILABLE', message),
    corrupt: () => new Refusal(503, 'UNAVAILABLE', message),
    gone: () => new Refusal(503, 'UNAVAILABLE', message),
  };
  return answers[error.kind]();
}

/** Sends it as the specification's JSON; a HEAD gets the same headers. */
export function sendRefusal(response: ServerResponse, refusal: Refusal): void {
  const { status, code, message, headers } = refusal;
  const body = Buffer.from(JSON.stringify({ errors: [{ code, message, detail: null }] }));
  response.writeHead(status, { ...headers, 'Content-Type': 'application/json', 'Content-Length': body.length });
  response.end(body);
}
