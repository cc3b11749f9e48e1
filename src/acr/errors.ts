export type AcrErrorKind =
  /** A key is missing or contradicts the instance's settings. */
  | 'configuration'
  /** No credentials to be had, or Alibaba Cloud refuses them. */
  | 'credentials'
  /** Temporary credentials are past their time: new ones may do. */
  | 'expired'
  /** The credentials are good, but have no right to this action. */
  | 'denied'
  | 'unknown-instance'
  | 'wrong-region'
  /** The node's clock is off by more than a signature may be old. */
  | 'clock'
  /** Unreachable, 5xx, throttled: after the bounded tries. */
  | 'unavailable'
  /** The answer is not what the API's reference says. */
  | 'invalid';

/** Names the request, the cause and the mend; never carries a secret. */
export class AcrError extends Error {
  readonly kind: AcrErrorKind;
  constructor(kind: AcrErrorKind, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'AcrError';
    this.kind = kind;
  }
}

/** `error` in words for a log line. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
