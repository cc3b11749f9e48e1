import { isRecord, textAt } from './record.ts';
import { KubernetesError, type KubernetesErrorKind } from './types.ts';

/**
 * What an answer other than success means. `body` is the parsed Status object, or whatever came; `request` says what was
 * asked and of whom.
 */
export function statusError(
  request: string,
  answer: { readonly status: number; readonly body: unknown; readonly retryAfter: string | undefined },
): KubernetesError {
  const { status, body } = answer;
  const kind = kindOf(status);
  const detail = isRecord(body) ? textAt(body, 'message') : undefined;
  const text = `${request}: ${status}${detail ? ` ${printable(detail)}` : ''}${mends[kind] ?? ''}`;
  return new KubernetesError(kind, text, { retryAfterMs: retryAfterMs(answer.retryAfter) });
}

function kindOf(status: number): KubernetesErrorKind {
  if (status === 401) return 'unauthorized';
  if (status === 403) return 'forbidden';
  if (status === 404) return 'not-found';
  if (status === 409) return 'conflict';
  if (status === 410) return 'gone';
  if (status === 429) return 'rate-limited';
  return status >= 500 || status === 408 ? 'unavailable' : 'invalid';
}

const mends: Partial<Record<KubernetesErrorKind, string>> = {
  unauthorized: '; the token or client certificate is not accepted: is it expired, or of another cluster?',
  forbidden: '; grant it by RBAC (docs/membership.md)',
};

/** API servers send seconds, never a date. */
function retryAfterMs(value: string | undefined): number | undefined {
  return value !== undefined && /^\d{1,5}$/.test(value) ? Number(value) * 1000 : undefined;
}

const certificateMend = '; is certificate-authority (or the ca.crt of the service account) the CA of this API server?';

/** A connection that could not be made, or ended before its answer did. */
export function connectionError(request: string, cause: unknown): KubernetesError {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  // An AggregateError (every address of a name failed) has an empty message of its own.
  const reason = cause instanceof Error ? cause.message || code : String(cause);
  const certificate = /CERT|SELF_SIGNED|UNABLE_TO_(GET|VERIFY)/.test(code);
  return new KubernetesError('unavailable', `${request}: ${reason}${certificate ? certificateMend : ''}`, { cause });
}

/** Safe for one line of a log. */
function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?').slice(0, 300);
}
