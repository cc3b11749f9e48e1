import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import type { Scope } from './scope.ts';

/** A way to a port of loopback that can fall silent: connections stay, new ones are accepted, and no byte passes. */
export interface Wire {
  /** `host:port` of its near end. */
  readonly address: string;
  /** Connections at its near end. */
  readonly connections: number;
  freeze(): void;
  thaw(): void;
}

export async function openWire(scope: Scope, address: string): Promise<Wire> {
  const [host = '', port] = address.split(':');
  const sockets = new Set<Socket>();
  const near = new Set<Socket>();
  let frozen = false;
  const keep = (socket: Socket): void => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => sockets.delete(socket));
    if (frozen) socket.pause();
  };
  const server = createServer((here) => {
    const there = connect(Number(port), host);
    near.add(here);
    here.once('close', () => near.delete(here));
    for (const [one, other] of [
      [here, there],
      [there, here],
    ] as const) {
      one.on('data', (chunk) => other.write(chunk));
      one.on('close', () => other.destroy());
      keep(one);
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  scope.defer(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const own = server.address();
  if (own === null || typeof own === 'string') throw new Error('no port was given');
  return {
    address: `127.0.0.1:${own.port}`,
    get connections() {
      return near.size;
    },
    freeze() {
      frozen = true;
      for (const socket of sockets) socket.pause();
    },
    thaw() {
      frozen = false;
      for (const socket of sockets) socket.resume();
    },
  };
}
