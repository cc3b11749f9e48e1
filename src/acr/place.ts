import type { EcsMetadata } from './metadata.ts';
import { apiOrigins } from './origins.ts';

export interface PlaceOptions {
  /** `region` and `vpcId` of the configuration. */
  readonly region: string | undefined;
  readonly vpcId: string | undefined;
  readonly internet: boolean;
  readonly endpoints: { readonly openapi?: string | undefined; readonly sts?: string | undefined };
  readonly metadata: Pick<EcsMetadata, 'region' | 'vpcId'>;
}

/** Where ACR is asked. */
export interface Region {
  readonly name: string;
  /** How its name came to be known, for messages. */
  readonly from: string;
  readonly origins: readonly string[];
}

/** Where the instances are, and where this node is: as configured, else by the node's metadata, which is asked once. */
export class Place {
  readonly #options: PlaceOptions;
  #ownRegion: string | undefined;
  #ownVpc: Promise<string | undefined> | undefined;

  constructor(options: PlaceOptions) {
    this.#options = options;
  }

  /** Rejects with an `AcrError` when the region is neither configured nor known to the metadata service. */
  async region(signal: AbortSignal): Promise<Region> {
    const name = await this.#regionName(signal);
    const from = this.#options.region === undefined ? "the node's own by ECS metadata" : 'by the key `region`';
    return { name, from, origins: this.#origins('cr', name, this.#options.endpoints.openapi) };
  }

  /** The origins of STS. Rejects like `region`. */
  async stsOrigins(signal: AbortSignal): Promise<readonly string[]> {
    return this.#origins('sts', await this.#regionName(signal), this.#options.endpoints.sts);
  }

  /** Undefined where it is not known: then nothing can be said of how the instances are linked. */
  vpcId(signal: AbortSignal): Promise<string | undefined> {
    const { vpcId, metadata } = this.#options;
    if (vpcId !== undefined) return Promise.resolve(vpcId);
    this.#ownVpc ??= metadata.vpcId(signal).catch(() => undefined);
    return this.#ownVpc;
  }

  async #regionName(signal: AbortSignal): Promise<string> {
    this.#ownRegion ??= this.#options.region ?? (await this.#options.metadata.region(signal));
    return this.#ownRegion;
  }

  #origins(product: 'cr' | 'sts', region: string, override: string | undefined): string[] {
    return apiOrigins(product, { region, internet: this.#options.internet, override });
  }
}
