import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { IssuedCertificate } from './certificates.ts';
import type { Scope } from './scope.ts';

/** A request that the origin has received. */
export interface ReceivedRequest {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  readonly headers: Readonly<IncomingMessage['headers']>;
}

export interface OriginServer {
  /** `127.0.0.1:port`. */
  readonly host: string;
  readonly url: string;
  readonly requests: readonly ReceivedRequest[];
  /** Connections that were ever made. */
  readonly connections: number;
  /** Ends every connection, whatever is under way on it; resolves when they are closed. */
  hangUp(): Promise<void>;
}

/**
 * An HTTP server on loopback that answers as the test says: for what no real registry can be made to do. `attempt` counts
 * the requests before this one. With a certificate it speaks https.
 */
export async function startOrigin(
  scope: Scope,
  answer: (request: ReceivedRequest, response: ServerResponse, attempt: number) => void,
  certificate?: IssuedCertificate,
): Promise<OriginServer> {
  const requests: ReceivedRequest[] = [];
  const listener = (message: IncomingMessage, response: ServerResponse): void => {
    const request = { method: message.method ?? '', url: message.url ?? '', headers: message.headers };
    requests.push(request);
    // The client ends some of the connections in the middle: that is the test's subject, not its failure.
    response.on('error', () => {});
    answer(request, response, requests.length - 1);
  };
  const server =
    certificate === undefined
      ? createServer(listener)
      : createTlsServer(
          { cert: await readFile(certificate.certificateFile), key: await readFile(certificate.keyFile) },
          listener,
        );
  let connections = 0;
  const open = new Set<Socket>();
  server.on('connection', (socket) => {
    connections += 1;
    open.add(socket);
    socket.once('close', () => open.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  scope.defer(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  return {
    host: `127.0.0.1:${port}`,
    url: `${certificate === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    requests,
    async hangUp() {
      const closed = [...open].map((socket) => once(socket, 'close'));
      server.closeAllConnections();
      await Promise.all(closed);
    },
    get connections() {
      return connections;
    },
  };
}
