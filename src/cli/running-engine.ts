import { observe } from '../agent/engine-observer.ts';
import type { Observables } from '../agent/observation.ts';
import { UnavailableError } from './exit-codes.ts';

/** gRPC's UNAVAILABLE. */
const unavailable = 14;

/** Asks the engine that runs with this `runDir`. Throws an `UnavailableError` when none does. */
export async function fromEngine<About extends keyof Observables>(
  runDir: string,
  about: About,
  name?: string,
): Promise<Observables[About]> {
  try {
    return await observe(runDir, about, name);
  } catch (error) {
    if ((error as { code?: unknown }).code !== unavailable) throw error;
    throw new UnavailableError(
      `no agent answers in ${runDir} (runDir). Is \`shoal agent\` running, with the same configuration, and are you root?`,
    );
  }
}
