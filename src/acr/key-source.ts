import type { AccessKey } from './signature.ts';

/** Whose credentials calls are signed with. */
export interface KeySource {
  /** Rejects with an `AcrError`, or with the signal's reason. */
  key(signal: AbortSignal): Promise<AccessKey>;
  /** The service says that this key is past its time, whatever its date was: the next one must be new. */
  expired(): void;
}
