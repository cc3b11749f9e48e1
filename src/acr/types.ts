/** What the other rooms may know of the acr room. */

/** The registry hosts of the configured ACR instances, as they stand in image references. */
export interface InstanceHosts {
  /**
   * Undefined: no instances are configured, so they restrict nothing. Otherwise the hosts whose images are accelerated; empty
   * while none are known yet (first start, and ACR's OpenAPI hasn't answered).
   */
  hosts(): ReadonlySet<string> | undefined;
  /** Calls `listener` after every change of `hosts()`; the returned function ends that. */
  onChange(listener: () => void): () => void;
  /** For people: status pages, conditions, metrics. */
  status(): InstancesStatus;
}

export interface InstancesStatus {
  readonly instances: readonly InstanceStatus[];
  /** How we prove who we are to Alibaba Cloud; undefined when no instances are configured. */
  readonly authorization: 'accessKey' | 'workerRole' | 'rrsa' | undefined;
}

export interface InstanceStatus {
  /** `cri-…` */
  readonly id: string;
  readonly hosts: readonly string[];
  /** When ACR's OpenAPI named these hosts, in milliseconds since 1970; undefined: never yet. */
  readonly asOf: number | undefined;
  /** Why the last try brought nothing new, with the mend; undefined after a success. */
  readonly problem: string | undefined;
}
