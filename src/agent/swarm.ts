import { systemClock } from '../clock.ts';
import type { Config } from '../config/schema.ts';
import { native } from '../native/index.ts';
import type { PieceStore } from '../store/types.ts';
import type { Membership } from '../swarm/membership/types.ts';
import { MirrorDirectory } from '../swarm/mirror-directory.ts';
import { SwarmNode } from '../swarm/node.ts';
import { type Directories, type DirectoryListener, PeerSwarm } from '../swarm/peer-swarm.ts';
import { PreheatHandler } from '../swarm/preheat/handler.ts';
import type { Preheat } from '../swarm/preheat/types.ts';
import type { Logger } from '../telemetry/log.ts';
import type { RemoteSpans } from '../telemetry/remote-spans.ts';

export interface JoinedSwarm {
  readonly swarm: PeerSwarm;
  readonly node: SwarmNode;
  close(): Promise<void>;
}

export interface SwarmParts {
  readonly preheat: Preheat;
  /** Records what this node does for the traces of others. */
  readonly spans: RemoteSpans | undefined;
  readonly log: Logger;
}

/**
 * Makes this node one of the swarm, as the configuration says; undefined where there is none, and where this node can't take
 * part: it is then on its own, and the log says why.
 */
export async function joinSwarm(
  config: Config,
  store: PieceStore,
  parts: SwarmParts,
): Promise<JoinedSwarm | undefined> {
  const { spans, log } = parts;
  let node: SwarmNode | undefined;
  try {
    node = await SwarmNode.create({ config: config.p2p, role: 'agent', native, environment: process.env, log, spans });
    if (node === undefined) return undefined;
    return await join(node, config, store, parts);
  } catch (error) {
    await node?.close();
    log.error(
      { err: error },
      'this node takes no part in the swarm: every pull comes from its registry until that is mended',
    );
    return undefined;
  }
}

async function join(
  node: SwarmNode,
  config: Config,
  store: PieceStore,
  { preheat, log }: SwarmParts,
): Promise<JoinedSwarm> {
  const mirrorsAlone = config.p2p.plusMode.downloadPattern === 'source';
  if (!mirrorsAlone) await node.listen(store, { preheat: new PreheatHandler(preheat, log) });
  const swarm = new PeerSwarm({
    client: node.client,
    store,
    hints: mirrorsAlone,
    connect: (listener) => (mirrorsAlone ? connectMirrors(node.membership, listener) : node.connect(listener)),
    membership: node.membership,
    clock: systemClock,
  });
  return {
    swarm,
    node,
    async close() {
      swarm.close();
      await node.close();
    },
  };
}

function connectMirrors(membership: Membership, listener: DirectoryListener): Directories {
  membership.onChange(() => listener.changed());
  return new MirrorDirectory({
    mirrors: () => membership.reachable().filter(({ role }) => role === 'mirror'),
    send: (message) => listener.receive(message),
  });
}
