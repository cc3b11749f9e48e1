import { type ServiceError, status } from '@grpc/grpc-js';
import { callControl } from '../agent/control-client.ts';
import { instancesOf } from '../config/acr.ts';
import type { Config } from '../config/schema.ts';
import type { Explanation } from '../pull/engine.ts';
import { createPolicy } from '../pull/policy.ts';
import { registryOrigin } from '../registry/endpoint.ts';
import { parseImageReference } from '../registry/reference.ts';
import { type ConfigOptions, loadFromOptions } from './config-options.ts';
import { UsageError } from './exit-codes.ts';
import { type OutputFormat, print } from './output.ts';
import { engineAnswer } from './running-engine.ts';

export interface ExplainOptions extends ConfigOptions {
  readonly namespace: string;
  /** `key=value` */
  readonly label?: readonly string[];
  readonly output: OutputFormat;
}

/** Milliseconds to the engine's answer: it asks nobody. */
const answerBoundMs = 5_000;

/** `shoal explain`: what would become of a pull, as the running engine sees it, or as the configuration alone does. */
export async function explain(image: string, options: ExplainOptions): Promise<void> {
  const { config } = await loadFromOptions(options);
  const labels = Object.fromEntries((options.label ?? []).map(pair));
  const { registry, repository } = parseImageReference(image);
  const answer =
    (await ask(config, image, options.namespace, labels)) ??
    fromConfig(config, { registry, repository }, { namespace: options.namespace, labels });
  const endpoint = registryOrigin(registry, config.registries.hosts);
  print(options.output, describe(image, answer, endpoint), { image, endpoint, ...answer });
}

interface Answer extends Explanation {
  /** Who says so: the running engine knows the instances' hosts and the namespaces' labels, the configuration doesn't. */
  readonly by: 'engine' | 'configuration';
}

async function ask(
  { runDir }: Config,
  image: string,
  podNamespace: string,
  podLabels: Readonly<Record<string, string>>,
): Promise<Answer | undefined> {
  try {
    const question = { image, podName: 'explained', podNamespace, podLabels };
    const answer = (await callControl(runDir, 'Explain', question, answerBoundMs)) as Explanation;
    return { ...answer, by: 'engine' };
  } catch (error) {
    if ((error as ServiceError).code === status.UNAVAILABLE) return undefined;
    return await engineAnswer(runDir, Promise.reject(error));
  }
}

function fromConfig(
  config: Config,
  repository: { readonly registry: string; readonly repository: string },
  pod: { readonly namespace: string; readonly labels: Readonly<Record<string, string>> },
): Answer {
  const { accelerate, registries } = config;
  const policy = createPolicy({
    accelerate,
    include: registries.include,
    exclude: registries.exclude,
    ...(instancesOf(config).length > 0 && { instanceHosts: () => new Set<string>() }),
  });
  const steps = policy.explain(repository, pod);
  return { ...repository, ...policy.pull(repository, pod), steps, by: 'configuration' };
}

function pair(text: string): [key: string, value: string] {
  const at = text.indexOf('=');
  if (at < 1) throw new UsageError(`--label ${text}: it is key=value`);
  return [text.slice(0, at), text.slice(at + 1)];
}

function describe(image: string, { accelerate, rule, steps, by }: Answer, endpoint: string): string {
  const marks = { yes: 'yes', no: 'no ', pass: '·  ' };
  return [
    `${image} ${accelerate ? 'would be accelerated' : 'would not be accelerated'}: ${rule}`,
    ...steps.map(({ rule: each, verdict }) => `  ${marks[verdict]} ${each}`),
    `registry: ${endpoint}, with the credentials that come with the pod's pull`,
    by === 'engine' ? 'as the running agent sees it' : 'by the configuration alone: no agent runs here',
  ].join('\n');
}
