import type { Agent } from './agent.ts';

/** So many different accusers, and an agent is no holder any more: one faulty or lying accuser must not be enough. */
const accusersToBan = 3;
/** How long an agent is not sent to a peer that did not answer it: long enough to be worth it, short enough for a reboot. */
const unreachableMs = 30_000;
/** The same for a peer that sent wrong bytes. */
const corruptMs = 600_000;

/** Who does not trust whom, and who has lost everybody's trust. */
export class Trust {
  readonly #distrustPerAgent: number;
  readonly #now: () => number;

  constructor(distrustPerAgent: number, now: () => number) {
    this.#distrustPerAgent = distrustPerAgent;
    this.#now = now;
  }

  /** The reporter is not sent to the peer for a while. Beyond the bound its oldest distrust is forgotten. */
  suspect(reporter: Agent, peer: Agent, failure: 'unreachable' | 'corrupt'): void {
    reporter.distrust.delete(peer);
    if (reporter.distrust.size >= this.#distrustPerAgent) {
      for (const oldest of reporter.distrust.keys()) {
        reporter.distrust.delete(oldest);
        break;
      }
    }
    reporter.distrust.set(peer, this.#now() + (failure === 'corrupt' ? corruptMs : unreachableMs));
  }

  /** Somebody found the agent's bytes wrong. Returns whether that was one too many: its holdings are to be dropped. */
  accuse(accused: Agent, accuser: Agent): boolean {
    if (accused === accuser || accused.banned) return false;
    accused.accusers.add(accuser.hello.id);
    accused.banned = accused.accusers.size >= accusersToBan;
    return accused.banned;
  }
}
