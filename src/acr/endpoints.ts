import { z } from 'zod';
import { parseRegistry } from '../registry/reference.ts';
import { RegistryError } from '../registry/types.ts';
import { AcrError } from './errors.ts';

/** Hosts of one instance at most: its own names and a few of the user's. */
const mostHosts = 64;

const domain = z.string().max(300);

/** GetInstanceVpcEndpoint. */
export const vpcEndpoint = z.object({
  Enable: z.boolean().optional(),
  Domains: z.array(domain).max(mostHosts).nullish(),
  LinkedVpcs: z
    .array(z.object({ VpcId: z.string().nullish(), Status: z.string().nullish() }))
    .max(1000)
    .nullish(),
});

/** ListInstanceEndpoint. */
export const endpointList = z.object({
  Endpoints: z
    .array(
      z.object({
        EndpointType: z.string(),
        Enable: z.boolean().optional(),
        Domains: z
          .array(z.object({ Domain: domain }))
          .max(mostHosts)
          .nullish(),
      }),
    )
    .max(100)
    .nullish(),
});

export interface InstanceEndpoints {
  readonly hosts: readonly string[];
  /** Something to mend that doesn't keep the hosts from being used. */
  readonly warning: string | undefined;
}

/** The hosts of an instance's VPC endpoint. `vpcId` is checked against the linked VPCs where it is known. Throws an `AcrError`. */
export function vpcHosts(
  id: string,
  { Enable, Domains, LinkedVpcs }: z.output<typeof vpcEndpoint>,
  vpcId: string | undefined,
): InstanceEndpoints {
  if (Enable === false || !Domains?.length) {
    const mend =
      "link the cluster's VPC with the instance (console, Access Control, VPC), or set pullImageInternet: true";
    throw new AcrError('configuration', `instance ${id} has no VPC endpoint; ${mend}`);
  }
  const linked = (LinkedVpcs ?? []).map(({ VpcId }) => VpcId);
  const missing = vpcId !== undefined && !linked.includes(vpcId);
  const mend =
    'link it (console, Access Control, VPC), or set vpcId to the VPC that the nodes reach the instance through';
  return {
    hosts: checked(id, Domains),
    warning: missing ? `instance ${id} is not linked with ${vpcId}; ${mend}` : undefined,
  };
}

/** The hosts of an instance's Internet endpoint. Throws an `AcrError`. */
export function internetHosts(id: string, { Endpoints }: z.output<typeof endpointList>): InstanceEndpoints {
  const internet = (Endpoints ?? []).filter(({ EndpointType }) => EndpointType.toLowerCase() === 'internet');
  const domains = internet
    .filter(({ Enable }) => Enable !== false)
    .flatMap(({ Domains }) => (Domains ?? []).map(({ Domain }) => Domain));
  if (domains.length === 0) {
    const mend =
      'switch it on (console, Access Control, Internet) and let the nodes in, or leave pullImageInternet out';
    throw new AcrError('configuration', `instance ${id} has no Internet endpoint; ${mend}`);
  }
  return { hosts: checked(id, domains), warning: undefined };
}

/** Canonical names, as they stand in image references. */
function checked(id: string, domains: readonly string[]): string[] {
  try {
    return [...new Set(domains.map(parseRegistry))].toSorted();
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error;
    throw new AcrError('invalid', `instance ${id}: the endpoint is no host: ${error.message}`, error);
  }
}
