import { KubernetesError } from './types.ts';

/** What becomes of an event that the API server did not take. */
export type EventFailure =
  /** The API server is away, slow, or has too much to do: again, after `waitMs` at the least. */
  | { readonly kind: 'retry'; readonly waitMs: number }
  /** There is one of its name: an answer was lost on the way. */
  | { readonly kind: 'there' }
  /** There is none of its name: it has been deleted. */
  | { readonly kind: 'missing' }
  /** RBAC doesn't allow it. */
  | { readonly kind: 'forbidden' }
  /** It will never be taken; `usual` when that is part of normal life. */
  | { readonly kind: 'refused'; readonly usual: boolean };

/** Milliseconds that `Retry-After` counts for at most. */
const longestRetryAfter = 60_000;

/** Judges a failed request of `verb`. Pure. */
export function judgeFailure(error: unknown, verb: 'create' | 'patch'): EventFailure {
  if (!(error instanceof KubernetesError)) return { kind: 'refused', usual: false };
  switch (error.kind) {
    case 'conflict':
      return verb === 'create' ? { kind: 'there' } : { kind: 'retry', waitMs: 0 };
    case 'not-found':
      // Of a create: the namespace is gone.
      return verb === 'patch' ? { kind: 'missing' } : { kind: 'refused', usual: true };
    case 'forbidden':
      // The same status, whoever asks, while a namespace is being deleted with its pods.
      return /being terminated/.test(error.message) ? { kind: 'refused', usual: true } : { kind: 'forbidden' };
    case 'gone':
    case 'invalid':
      return { kind: 'refused', usual: false };
    case 'configuration':
    case 'unauthorized':
    case 'rate-limited':
    case 'unavailable':
      return { kind: 'retry', waitMs: Math.min(error.retryAfterMs ?? 0, longestRetryAfter) };
  }
}
