import { observe } from '../agent/engine-observer.ts';
import type { Observables } from '../agent/observation.ts';
import { UnavailableError } from './exit-codes.ts';

/** gRPC's codes. */
const [deadlineExceeded, unavailable] = [4, 14];

/** Asks the engine that runs with this `runDir`. Throws an `UnavailableError` when none does, or none answers. */
export function fromEngine<About extends keyof Observables>(
  runDir: string,
  about: About,
  name?: string,
): Promise<Observables[About]> {
  return engineAnswer(runDir, observe(runDir, about, name));
}

/** The answer of the engine in this `runDir`; throws as `fromEngine` does, and else with the engine's own words. */
export async function engineAnswer<T>(runDir: string, answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    const { code, details } = error as { readonly code?: unknown; readonly details?: unknown };
    if (code === unavailable) throw noAgent(runDir);
    if (code === deadlineExceeded) {
      throw new UnavailableError(
        `the engine in ${runDir} (runDir) does not answer in time. \`shoal doctor\` looks why`,
      );
    }
    throw typeof details === 'string' && details !== '' ? new Error(details, { cause: error }) : error;
  }
}

export function noAgent(runDir: string): UnavailableError {
  return new UnavailableError(
    `no agent answers in ${runDir} (runDir). Is \`shoal agent\` running, with the same configuration, and are you root?`,
  );
}
