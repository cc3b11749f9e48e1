import { createSwarmPort } from '../../src/swarm/port/port.ts';
import type { SwarmPort, SwarmPortOptions } from '../../src/swarm/port/types.ts';
import { createPieceServer, type PieceServer, type PieceServerOptions } from '../../src/swarm/transfer/server.ts';

/** A piece server behind a port of its own. */
export interface PiecePort {
  readonly address: SwarmPort['address'];
  /** Of the port, whether or not they have said anything yet. */
  readonly connections: number;
  stat: PieceServer['stat'];
  close(): Promise<void>;
}

export type PiecePortOptions = PieceServerOptions & Omit<SwarmPortOptions, 'pieces' | 'directory'>;

/** Opens a port that serves nothing but pieces. */
export async function openPiecePort(options: PiecePortOptions): Promise<PiecePort> {
  const pieces = createPieceServer(options);
  const port = createSwarmPort({ ...options, pieces });
  await port.listen();
  return {
    get address() {
      return port.address;
    },
    get connections() {
      return port.connections;
    },
    stat: () => pieces.stat(),
    close: async () => {
      await port.close();
      await pieces.close();
    },
  };
}
