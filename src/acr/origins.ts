/** What decides where Alibaba Cloud is asked. */
export interface OriginOptions {
  readonly region: string;
  /** Whether the node reaches the instances over the Internet. */
  readonly internet: boolean;
  /** Instead of the region's own (`acr.endpoints`). */
  readonly override: string | undefined;
}

/**
 * The origins of a product's API, the best first. A node in a VPC may have no way to the Internet, and a node elsewhere none to the
 * VPC endpoints (they also serve their own region alone): the other one is asked where the first can't be reached.
 */
export function apiOrigins(product: 'cr' | 'sts', { region, internet, override }: OriginOptions): string[] {
  if (override !== undefined) return [new URL(override).origin];
  const vpc = `https://${product}-vpc.${region}.aliyuncs.com`;
  const open = `https://${product}.${region}.aliyuncs.com`;
  return internet ? [open] : [vpc, open];
}
