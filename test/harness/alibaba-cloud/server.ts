import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import type { Scope } from '../scope.ts';
import { FakeCloud, json } from './cloud.ts';
import { FakeMetadata } from './metadata.ts';
import type { FakeCloudState, Trouble, WireAnswer, WireRequest } from './types.ts';

export interface CloudServerOptions {
  /** Where OpenAPI and STS listen; a free port of 127.0.0.1 by default. */
  readonly api?: Listen;
  /** Where the metadata service listens; a free port of 127.0.0.1 by default. */
  readonly metadata?: Listen;
}

export interface Listen {
  readonly host: string;
  readonly port: number;
  /** PEM files; https then. */
  readonly tls?: { readonly certificateFile: string; readonly keyFile: string };
}

export interface CloudServer {
  readonly cloud: FakeCloud;
  readonly metadata: FakeMetadata;
  readonly apiUrl: string;
  readonly metadataUrl: string;
  /** Decides over each call's trouble; `attempt` counts the calls before it, of every kind. */
  trouble: ((attempt: number, request: WireRequest) => Trouble | undefined) | undefined;
}

/** Starts OpenAPI, STS and the metadata service of a cloud. */
export async function startAlibabaCloud(
  scope: Scope,
  state: FakeCloudState,
  options: CloudServerOptions = {},
): Promise<CloudServer> {
  const cloud = new FakeCloud(state);
  const metadata = new FakeMetadata(cloud);
  let attempts = 0;
  const running: { trouble: CloudServer['trouble'] } = { trouble: undefined };
  const anywhere: Listen = { host: '127.0.0.1', port: 0 };
  const apiUrl = await listen(scope, options.api ?? anywhere, (request, response, host) => {
    const trouble = running.trouble?.(attempts++, request);
    response.setHeader('date', new Date(cloud.now()).toUTCString());
    if (trouble === 'hang') return;
    if (trouble === 'reset') response.socket?.resetAndDestroy();
    else write(response, trouble === undefined ? cloud.answer(request, host) : wrong(trouble));
  });
  const metadataUrl = await listen(scope, options.metadata ?? anywhere, (request, response) => {
    write(response, metadata.answer(request));
  });
  return Object.assign(running, { cloud, metadata, apiUrl, metadataUrl });
}

type Answer = (request: WireRequest, response: ServerResponse, host: string) => void;

async function listen(scope: Scope, { host, port, tls }: Listen, answer: Answer): Promise<string> {
  const onRequest = (message: IncomingMessage, response: ServerResponse): void => {
    response.on('error', () => undefined);
    wireRequest(message).then(
      (request) => answer(request, response, message.headers.host ?? ''),
      () => response.destroy(),
    );
  };
  const server =
    tls === undefined
      ? createHttpServer(onRequest)
      : createHttpsServer({ cert: await readFile(tls.certificateFile), key: await readFile(tls.keyFile) }, onRequest);
  server.listen(port, host);
  await once(server, 'listening');
  scope.defer(() => {
    server.close();
    server.closeAllConnections();
  });
  const address = server.address() as AddressInfo;
  return `${tls === undefined ? 'http' : 'https'}://${address.address}:${address.port}`;
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
