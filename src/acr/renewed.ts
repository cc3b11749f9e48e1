import type { Logger } from '../telemetry/log.ts';
import { untilAborted } from '../until-aborted.ts';
import { reasonOf } from './errors.ts';
import type { KeySource } from './key-source.ts';
import type { ServerTime } from './server-time.ts';
import type { AccessKey } from './signature.ts';
import type { TemporaryKey } from './sts.ts';

/** Seconds before their end that credentials are replaced; no role's session is shorter than 900 s. */
const renewalMargin = 300;
/** Milliseconds: more than all the tries of the calls that a renewal takes. */
const renewalDeadlineMs = 180_000;

/** Temporary credentials: fetched when they are first needed, and again before they end. */
export class Renewed implements KeySource {
  readonly #fetch: (signal: AbortSignal) => Promise<TemporaryKey>;
  readonly #time: ServerTime;
  readonly #log: Logger;
  #current: TemporaryKey | undefined;
  #pending: Promise<TemporaryKey> | undefined;

  constructor(fetch: (signal: AbortSignal) => Promise<TemporaryKey>, time: ServerTime, log: Logger) {
    this.#fetch = fetch;
    this.#time = time;
    this.#log = log;
  }

  async key(signal: AbortSignal): Promise<AccessKey> {
    const current = this.#current;
    const left = current === undefined ? 0 : current.expiresAt - this.#time.now();
    if (current !== undefined && left > renewalMargin * 1000) return current.key;
    try {
      return (await untilAborted(this.#renew(), signal)).key;
    } catch (error) {
      // The old ones are still good for a while: whoever issues them has until then to come back.
      if (current === undefined || current.expiresAt <= this.#time.now() || signal.aborted) throw error;
      this.#log.warn({ cause: reasonOf(error), secondsLeft: Math.round(left / 1000) }, 'credentials were not renewed');
      return current.key;
    }
  }

  expired(): void {
    this.#current = undefined;
  }

  /** One request, whoever waits for it. It has a deadline of its own: who gives up does not end it for the others. */
  #renew(): Promise<TemporaryKey> {
    this.#pending ??= this.#fetch(AbortSignal.timeout(renewalDeadlineMs))
      .then((renewed) => {
        this.#current = renewed;
        return renewed;
      })
      .finally(() => {
        this.#pending = undefined;
      });
    return this.#pending;
  }
}
