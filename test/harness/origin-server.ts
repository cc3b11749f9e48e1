import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
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
}

/**
 * An HTTP server on loopback that answers as the test says: for what no real registry can be made to do. `attempt` counts
 * the requests before this one.
 */
export async function startOrigin(
  scope: Scope,
  answer: (request: ReceivedRequest, response: ServerResponse, attempt: number) => void,
): Promise<OriginServer> {
  const requests: ReceivedRequest[] = [];
  const server = createServer((message, response) => {
    const request = { method: message.method ?? '', url: message.url ?? '', headers: message.headers };
    requests.push(request);
    // The client ends some of the connections in the middle: that is the test's subject, not its failure.
    response.on('error', () => {});
    answer(request, response, requests.length - 1);
  });
  let connections = 0;
  server.on('connection', () => {
    connections += 1;
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
    url: `http://127.0.0.1:${port}`,
    requests,
    get connections() {
      return connections;
    },
  };
}
