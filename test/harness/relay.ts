import { once } from 'node:events';
import { Agent, createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Host } from './network.ts';
import type { Scope } from './scope.ts';

/** A request as a rule sees it. */
export interface RelayRequest {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly range: string | undefined;
  readonly authorization: string | undefined;
  readonly userAgent: string;
  readonly traceparent: string | undefined;
  /** The client's IP address. */
  readonly client: string;
  /** What the path asks for, when it is a blob or a manifest. */
  readonly kind: 'blob' | 'manifest' | 'other';
  /** The tag or digest at the path's end. */
  readonly reference: string;
}

/** What to do to one request instead of merely passing it on. */
export type Misbehaviour =
  | { readonly kind: 'status'; readonly status: number; readonly headers?: Readonly<Record<string, string>> }
  /** Never answers. */
  | { readonly kind: 'silent' }
  /** Ends the connection after that many bytes of body. */
  | { readonly kind: 'cut'; readonly after: number; readonly how: 'fin' | 'reset' }
  /** Flips one bit of the answer's body at this offset. */
  | { readonly kind: 'flip'; readonly at: number }
  /** Sends that many bytes of body and goes on when `until` resolves. */
  | { readonly kind: 'hold'; readonly after: number; readonly until: Promise<unknown> }
  /** Answers a ranged request with the whole blob, as registries without Range support do. */
  | { readonly kind: 'ignore-range' };

export type Rule = (request: RelayRequest) => Misbehaviour | undefined;

export interface RelayedRequest extends RelayRequest {
  /** Undefined while no answer was sent. */
  status: number | undefined;
  /** Bytes of body that were sent to the client. */
  sent: number;
  /** The answer is out, or somebody went away. */
  ended: boolean;
}

/**
 * A relay in front of a registry: counts every byte of body that leaves the registry through it and breaks requests as
 * its rule says. With a rule it also plays a mirror that misbehaves, its bytes being the registry's own.
 */
export class Relay {
  readonly requests: RelayedRequest[] = [];
  /** Asked for every request; undefined passes it on. */
  rule: Rule | undefined;
  /** `address:port`, as it stands in image references. */
  readonly host: string;
  readonly #waiting = new Set<() => void>();

  constructor(host: string) {
    this.host = host;
  }

  get url(): string {
    return `http://${this.host}`;
  }

  /** Bytes of blobs and manifests, bodies alone. */
  get contentBytes(): number {
    return this.#sum((request) => request.kind !== 'other');
  }

  /** Bytes of blobs, bodies alone. */
  get blobBytes(): number {
    return this.#sum((request) => request.kind === 'blob');
  }

  /** Bytes sent of one blob. */
  bytesOf(digest: string): number {
    return this.#sum((request) => request.reference === digest);
  }

  /** Forgets what was counted. */
  reset(): void {
    this.requests.length = 0;
  }

  /** Resolves when a request that `matches` has had at least `bytes` of body; those before the call count too. */
  async reached(matches: (request: RelayedRequest) => boolean, bytes = 0): Promise<void> {
    const there = (): boolean =>
      this.requests.some((request) => request.status !== undefined && request.sent >= bytes && matches(request));
    while (!there()) {
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }

  /** Resolves when at least so many bytes of blobs have been sent since the last reset. */
  async hasSent(bytes: number): Promise<void> {
    while (this.blobBytes < bytes) {
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }

  /** Resolves when no request is under way. */
  async idle(): Promise<void> {
    while (this.requests.some((request) => !request.ended)) {
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }

  /** Called by the server when a request moved on. */
  progressed(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  #sum(counts: (request: RelayedRequest) => boolean): number {
    return this.requests.filter(counts).reduce((sum, request) => sum + request.sent, 0);
  }
}

/** Starts a relay to `upstream` (`http://host:port`), on a free loopback port unless another machine is to have it. */
export async function startRelay(
  scope: Scope,
  upstream: string,
  place?: { readonly host: Host; readonly port: number },
): Promise<Relay> {
  const agent = new Agent({ keepAlive: true });
  let relay: Relay | undefined;
  const server = createServer((incoming, response) => {
    if (relay !== undefined) void serve(relay, agent, upstream, incoming, response);
  });
  if (place === undefined) {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  } else {
    await place.host.listen(server, place.port);
  }
  const address = place?.host.address ?? '127.0.0.1';
  relay = new Relay(`${address}:${(server.address() as AddressInfo).port}`);
  scope.defer(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
    agent.destroy();
  });
  return relay;
}

function parse(incoming: IncomingMessage): RelayRequest {
  const url = new URL(incoming.url ?? '/', 'http://relay');
  const found = /\/(blobs|manifests)\/([^/]+)$/.exec(url.pathname);
  return {
    method: incoming.method ?? 'GET',
    path: url.pathname,
    query: url.searchParams,
    range: incoming.headers.range,
    authorization: incoming.headers.authorization,
    userAgent: incoming.headers['user-agent'] ?? '',
    traceparent: [incoming.headers.traceparent].flat()[0],
    client: incoming.socket.remoteAddress?.replace(/^::ffff:/, '') ?? '',
    kind: found?.[1] === 'blobs' ? 'blob' : found?.[1] === 'manifests' ? 'manifest' : 'other',
    reference: found?.[2] ?? '',
  };
}

async function serve(
  relay: Relay,
  agent: Agent,
  upstream: string,
  incoming: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const request = parse(incoming);
  const record: RelayedRequest = { ...request, status: undefined, sent: 0, ended: false };
  relay.requests.push(record);
  response.on('close', () => {
    record.ended = true;
    relay.progressed();
  });
  const misbehaviour = relay.rule?.(request);
  if (misbehaviour?.kind === 'silent') return;
  if (misbehaviour?.kind === 'status') {
    record.status = misbehaviour.status;
    response.writeHead(misbehaviour.status, misbehaviour.headers).end();
    relay.progressed();
    return;
  }
  const headers = { ...incoming.headers };
  if (misbehaviour?.kind === 'ignore-range') delete headers.range;
  const outgoing = httpRequest(`${upstream}${incoming.url ?? '/'}`, { method: request.method, headers, agent });
  // Whoever goes away first takes the other one along.
  response.on('close', () => outgoing.destroy());
  outgoing.on('error', () => response.destroy());
  incoming.pipe(outgoing);
  outgoing.on('response', (answer) => {
    record.status = answer.statusCode ?? 502;
    response.writeHead(record.status, answer.headers);
    response.flushHeaders();
    relay.progressed();
    forward(relay, record, answer, response, misbehaviour).catch(() => response.destroy());
  });
}

async function forward(
  relay: Relay,
  record: RelayedRequest,
  answer: IncomingMessage,
  response: ServerResponse,
  misbehaviour: Misbehaviour | undefined,
): Promise<void> {
  const send = async (bytes: Buffer): Promise<void> => {
    record.sent += bytes.length;
    const room = response.write(bytes);
    relay.progressed();
    if (!room) await once(response, 'drain');
  };
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    const before = record.sent;
    const after = before + chunk.length;
    if (misbehaviour?.kind === 'flip' && before <= misbehaviour.at && misbehaviour.at < after) {
      const at = misbehaviour.at - before;
      chunk[at] = (chunk[at] ?? 0) ^ 1;
    }
    if ((misbehaviour?.kind === 'cut' || misbehaviour?.kind === 'hold') && after > misbehaviour.after) {
      const split = Math.max(0, misbehaviour.after - before);
      if (before <= misbehaviour.after) await send(chunk.subarray(0, split));
      if (misbehaviour.kind === 'cut') {
        if (misbehaviour.how === 'fin') response.socket?.destroySoon();
        else response.socket?.resetAndDestroy();
        return;
      }
      await misbehaviour.until;
      await send(chunk.subarray(split));
      continue;
    }
    await send(chunk);
  }
  response.end();
}
