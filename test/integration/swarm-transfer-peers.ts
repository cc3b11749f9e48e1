import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { native } from '../../src/native/index.ts';
import type { Peer } from '../../src/swarm/messages.ts';
import { createPieceClient, type PieceClient, type PieceClientOptions } from '../../src/swarm/transfer/client.ts';
import type { PieceKey, PieceProvider } from '../../src/swarm/transfer/types.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { openPiecePort, type PiecePort, type PiecePortOptions } from '../harness/piece-port.ts';
import type { Scope } from '../harness/scope.ts';

export const digest = `sha256:${'ab'.repeat(32)}`;
export const KiB = 1024;
export const MiB = 1024 * KiB;
export const log = createLogger({ name: 'test', level: 'silent' });

export interface Held {
  readonly bytes: Buffer;
  readonly crc32c: number;
}

/** Pieces of one blob in memory, with the pins on them counted, as the store would. */
export class HeldPieces implements PieceProvider {
  readonly pieces: readonly Held[];
  pins = 0;

  constructor(sizes: readonly number[]) {
    this.pieces = sizes.map((size) => {
      const bytes = randomBytes(size);
      return { bytes, crc32c: native.crc32c(bytes) };
    });
  }

  at(index: number): Held {
    const piece = this.pieces[index];
    if (piece === undefined) throw new Error(`there is no piece ${index}`);
    return piece;
  }

  async get(key: PieceKey) {
    const piece = key.digest === digest ? this.pieces[key.index] : undefined;
    if (piece === undefined) return undefined;
    this.pins += 1;
    let released = false;
    return {
      ...piece,
      release: () => {
        if (released) throw new Error('released twice');
        released = true;
        this.pins -= 1;
      },
    };
  }
}

/** A piece server on a free port of loopback. */
export async function startServer(
  scope: Scope,
  provider: PieceProvider,
  options: Partial<PiecePortOptions> = {},
): Promise<{ readonly server: PiecePort; readonly peer: Peer }> {
  const defaults = { security: { kind: 'loopback' }, host: '127.0.0.1', port: 0, transferTimeout: 15 } as const;
  const server = await openPiecePort({ ...defaults, provider, log, ...options });
  scope.defer(() => server.close());
  return { server, peer: { id: 'server', address: `127.0.0.1:${server.address.port}` } };
}

export function createClient(scope: Scope, options: Partial<PieceClientOptions> = {}): PieceClient {
  const client = createPieceClient({ native, connectTimeout: 5, transferTimeout: 15, maxRequests: 128, ...options });
  scope.defer(() => client.close());
  return client;
}

/** A peer that does what `play` says with each connection, once its first request is there. */
export async function startHostile(
  scope: Scope,
  play: (socket: Socket, connection: number) => void,
): Promise<{ readonly peer: Peer; readonly connections: () => number }> {
  let count = 0;
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    count += 1;
    const connection = count;
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
    socket.once('data', () => play(socket, connection));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  scope.defer(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port was given');
  return { peer: { id: 'hostile', address: `127.0.0.1:${address.port}` }, connections: () => count };
}
