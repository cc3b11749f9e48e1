import { callControl } from './control-client.ts';
import type { Observables } from './observation.ts';

/** Milliseconds to an answer of the engine: it only has to look at its own memory. */
const answerBoundMs = 3_000;

/** Asks the engine that runs with this `runDir`. Rejects with a gRPC `ServiceError`, code UNAVAILABLE when none does. */
export async function observe<About extends keyof Observables>(
  runDir: string,
  about: About,
  name = '',
): Promise<Observables[About]> {
  return (await callControl(runDir, 'Observe', { about, name }, answerBoundMs)) as Observables[About];
}
