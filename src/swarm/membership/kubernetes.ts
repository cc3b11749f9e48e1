import type { Clock } from '../../clock.ts';
import { Informer, type InformerTimes } from '../../kubernetes/informer.ts';
import { endpointSlices } from '../../kubernetes/resources.ts';
import type { KubernetesClient } from '../../kubernetes/types.ts';
import type { Logger } from '../../telemetry/log.ts';
import { type Endpoint, endpointsOf, mergeEndpoints } from './endpoint-slices.ts';
import type { Member, MemberSource } from './types.ts';

export interface KubernetesSourceOptions {
  /** Closed with the source. */
  readonly client: KubernetesClient;
  readonly namespace: string;
  /** Of the slices, which have the labels of their Service. */
  readonly labelSelector: string;
  /** The Service's name for the swarm's port. */
  readonly portName: string;
  readonly logger: Logger;
  readonly times?: InformerTimes;
  readonly clock?: Clock;
}

/** Members are the endpoints of the Services that the selector finds: one watch for all roles. */
export class KubernetesSource implements MemberSource {
  readonly #options: KubernetesSourceOptions;
  #informer: Informer<readonly Endpoint[]> | undefined;

  constructor(options: KubernetesSourceOptions) {
    this.#options = options;
  }

  start(update: (members: readonly Member[]) => void): void {
    const { client, namespace, labelSelector, portName, logger, times, clock } = this.#options;
    const informer = new Informer<readonly Endpoint[]>({
      client,
      resource: endpointSlices(namespace),
      labelSelector,
      parse: (slice) => endpointsOf(slice, portName),
      onChange: () => update(mergeEndpoints(informer.objects().values())),
      logger,
      ...(times && { times }),
      ...(clock && { clock }),
    });
    this.#informer = informer;
  }

  failure(): string | undefined {
    return this.#informer?.failure;
  }

  async close(): Promise<void> {
    await this.#informer?.close();
    await this.#options.client.close();
  }
}
