import type { Config } from '../config/schema.ts';
import { createKubernetesClient } from '../kubernetes/client.ts';
import { OptedInNamespaces } from '../kubernetes/opted-in.ts';
import { createPolicy, optInLabel, optInValue, type Policy, type PolicyRules } from '../pull/policy.ts';
import type { Logger } from '../telemetry/log.ts';
import { kubernetesAccess } from './kubernetes-access.ts';

export interface StartedPolicy {
  readonly policy: Policy;
  close(): Promise<void>;
}

/** The policy that the configuration states; with `accelerate: labelled` it begins to watch the namespaces, and waits for nobody. */
export async function startPolicy(
  config: Config,
  instanceHosts: PolicyRules['instanceHosts'],
  log: Logger,
): Promise<StartedPolicy> {
  const { accelerate, registries, stateDir } = config;
  const rules = { accelerate, include: registries.include, exclude: registries.exclude, instanceHosts };
  if (accelerate === 'all') return { policy: createPolicy(rules), close: async () => undefined };
  const namespaces = await OptedInNamespaces.start({
    client: createKubernetesClient(kubernetesAccess(config)),
    label: optInLabel,
    value: optInValue,
    stateDir,
    logger: log,
  });
  return { policy: createPolicy({ ...rules, namespaces }), close: () => namespaces.close() };
}
