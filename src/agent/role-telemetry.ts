import type { Config } from '../config/schema.ts';
import type { Logger } from '../telemetry/log.ts';
import { type Observables, Observation, type ObservedParts } from './observation.ts';
import { Telemetry } from './telemetry.ts';

/** Metrics, health and the page of a role that has no supervisor. Resolves with what ends them. */
export async function serveTelemetry(
  config: Config,
  parts: ObservedParts,
  log: Logger,
): Promise<{ close(): Promise<void> }> {
  const observation = new Observation(parts);
  const telemetry = new Telemetry({
    ...config.telemetry,
    observe: async <About extends keyof Observables>(about: About, name = '') =>
      observation.answer(about, name) as Observables[About],
    log,
  });
  await telemetry.listen();
  return {
    async close() {
      observation.close();
      await telemetry.close();
    },
  };
}
