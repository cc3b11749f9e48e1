import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import type { Scope } from '../scope.ts';
import { FakeCloud, json } from './cloud.ts';
import { FakeMetadata } from './metadata.ts';
import type { FakeCloudState, Trouble, WireAnswer, WireRequest } from './types.ts';

/** OpenAPI, STS and the metadata service of a cloud, for whatever server they are put into. */
export interface CloudServices {
  readonly cloud: FakeCloud;
  readonly metadata: FakeMetadata;
  readonly onApi: RequestListener;
  readonly onMetadata: RequestListener;
  /** Decides over each call's trouble; `attempt` counts the calls before it, of every kind. */
  trouble: ((attempt: number, request: WireRequest) => Trouble | undefined) | undefined;
}

export interface CloudServer extends CloudServices {
  readonly apiUrl: string;
  readonly metadataUrl: string;
}

export function createAlibabaCloud(state: FakeCloudState): CloudServices {
  const cloud = new FakeCloud(state);
  const metadata = new FakeMetadata(cloud);
  let attempts = 0;
  const services: CloudServices = {
    cloud,
    metadata,
    trouble: undefined,
    onApi: listener((request, response, host) => {
      const trouble = services.trouble?.(attempts++, request);
      response.setHeader('date', new Date(cloud.now()).toUTCString());
      if (trouble === 'hang') return;
      if (trouble === 'reset') response.socket?.resetAndDestroy();
      else write(response, trouble === undefined ? cloud.answer(request, host) : wrong(trouble));
    }),
    onMetadata: listener((request, response) => write(response, metadata.answer(request))),
  };
  return services;
}

/** Starts a cloud on two ports of loopback. */
export async function startAlibabaCloud(scope: Scope, state: FakeCloudState): Promise<CloudServer> {
  const services = createAlibabaCloud(state);
  const listen = async (server: Server): Promise<string> => {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    scope.defer(() => {
      server.close();
      server.closeAllConnections();
    });
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  };
  const apiUrl = await listen(createServer(services.onApi));
  const metadataUrl = await listen(createServer(services.onMetadata));
  return Object.assign(services, { apiUrl, metadataUrl });
}

type Answer = (request: WireRequest, response: ServerResponse, host: string) => void;

function listener(answer: Answer): RequestListener {
  return (message, response) => {
    response.on('error', () => undefined);
    wireRequest(message).then(
      (request) => answer(request, response, message.headers.host ?? ''),
      () => response.destroy(),
    );
  };
}

async function wireRequest(message: IncomingMessage): Promise<WireRequest> {
  const { rawHeaders } = message;
  const headers = Array.from({ length: rawHeaders.length / 2 }, (_, index) => {
    return [rawHeaders[2 * index] ?? '', rawHeaders[2 * index + 1] ?? ''] as const;
  });
  return { method: message.method ?? '', target: message.url ?? '', headers, body: await text(message) };
}

function wrong(trouble: Exclude<Trouble, 'hang' | 'reset'>): WireAnswer {
  switch (trouble) {
    case 'throttle':
      return json(400, { Code: 'Throttling.User', Message: 'Request was denied due to user flow control.' });
    case 'unavailable':
      return json(503, { Code: 'ServiceUnavailable', Message: 'The request has failed due to a temporary failure.' });
    case 'proxy-page':
      return { status: 502, type: 'text/html', body: '<html><body>Bad Gateway</body></html>' };
    case 'not-json':
      return { status: 200, type: 'application/json', body: '{"Code": "success", ' };
    case 'wrong-shape':
      return json(200, { Code: 'success', IsSuccess: true, Domains: [42], Endpoints: 'none', Credentials: null });
  }
}

function write(response: ServerResponse, { status, type, body }: WireAnswer): void {
  response.writeHead(status, { 'content-type': type });
  response.end(body);
}
