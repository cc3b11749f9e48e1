import { HttpProtocolError } from '../http1/response-head.ts';
import { RegistryError, type RegistryErrorKind } from './types.ts';

/** A failure that another try may mend: a cut connection, a timeout, 429, 5xx. */
export class TransientError extends RegistryError {
  /** Milliseconds that the registry asked to wait (`Retry-After`). */
  readonly retryAfterMs: number | undefined;
  constructor(
    kind: RegistryErrorKind,
    message: string,
    options: { status?: number; cause?: unknown; retryAfterMs?: number | undefined } = {},
  ) {
    super(kind, message, options);
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** Method and URL for messages and logs, without the query: a presigned URL's query is a secret. */
export function describeRequest(method: string, url: URL): string {
  return `${method} ${url.origin}${url.pathname}`;
}

const certificateErrors = new Set([
  'CERT_HAS_EXPIRED',
  'CERT_NOT_YET_VALID',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'ERR_TLS_CERT_ALTNAME_INVALID',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
]);

/** No such name; this client was closed; a proxy refused to connect: the same again in a second. */
const lastingErrors = new Set(['ENOTFOUND', 'UND_ERR_DESTROYED', 'UND_ERR_CLOSED', 'UND_ERR_ABORTED']);

/** Headers without end; a request that HTTP can't carry. */
const protocolErrors = new Set(['UND_ERR_HEADERS_OVERFLOW', 'UND_ERR_INVALID_ARG']);

/** What a connection's failure means; `request` is from `describeRequest`. */
export function connectionFailure(request: string, cause: Error): RegistryError {
  const code = 'code' in cause && typeof cause.code === 'string' ? cause.code : '';
  // An AggregateError (every address of a name failed) has an empty message of its own.
  const text = `${request}: ${cause.message || code}`;
  if (certificateErrors.has(code)) {
    const mend = "if the registry's CA is a private one, name it in registries.hosts.<host>.caFile";
    return new RegistryError('unavailable', `${text}; ${mend}`, { cause });
  }
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER' || code === 'ERR_SSL_PACKET_LENGTH_TOO_LONG') {
    const mend = 'it seems to speak http; if that is meant, set registries.hosts.<host>.plainHttp: true';
    return new RegistryError('unavailable', `${text}; ${mend}`, { cause });
  }
  if (lastingErrors.has(code) || code.startsWith('ERR_SSL_')) return new RegistryError('unavailable', text, { cause });
  if (cause instanceof HttpProtocolError || protocolErrors.has(code) || code.startsWith('HPE_'))
    return new RegistryError('invalid', text, { cause });
  return new TransientError('unavailable', text, { cause });
}

/** An answer that is neither success nor redirect. `body` is its beginning; `nowMs` the time for a `Retry-After` date. */
export function statusFailure(
  request: string,
  answer: { readonly status: number; readonly retryAfter: string | undefined; readonly body: string },
  nowMs: number,
): RegistryError {
  const { status } = answer;
  const detail = errorDetail(answer.body);
  const message = `${request}: ${status}${detail === undefined ? '' : ` ${detail}`}`;
  if (status === 429 || status === 408 || status >= 500) {
    const retryAfterMs = parseRetryAfter(answer.retryAfter, nowMs);
    return new TransientError(status === 429 ? 'rate-limited' : 'unavailable', message, { status, retryAfterMs });
  }
  return new RegistryError(kindOf(status), message, { status });
}

function kindOf(status: number): RegistryErrorKind {
  if (status === 401) return 'unauthorized';
  if (status === 403) return 'denied';
  if (status === 404) return 'not-found';
  return 'invalid';
}

/** `Retry-After` in milliseconds from now: seconds or an HTTP date (RFC 9110 section 10.2.3). */
export function parseRetryAfter(value: string | undefined, nowMs: number): number | undefined {
  if (value === undefined) return undefined;
  if (/^\d{1,9}$/.test(value.trim())) return Number(value) * 1000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, date - nowMs);
}

/** The first error of an OCI error body, `CODE: message`, safe for one line of a log. */
function errorDetail(body: string): string | undefined {
  try {
    const parsed: unknown = JSON.parse(body);
    const errors = isRecord(parsed) ? parsed.errors : undefined;
    const first: unknown = Array.isArray(errors) ? errors[0] : undefined;
    if (!isRecord(first)) return undefined;
    const parts = [first.code, first.message].filter((part) => typeof part === 'string' && part !== '');
    return parts.length === 0 ? undefined : printable(parts.join(': '));
  } catch {
    return undefined;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?').slice(0, 200);
}
