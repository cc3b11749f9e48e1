import type { SwarmNode } from '../swarm/node.ts';

/** A mirror or a scheduler without a swarm has nothing to do. Throws with the mend. */
export function mustJoin(node: SwarmNode | undefined): SwarmNode {
  if (node !== undefined) return node;
  throw new Error('p2p.membership.source is none: nobody would know of this node. Set it to static, dns or kubernetes');
}
