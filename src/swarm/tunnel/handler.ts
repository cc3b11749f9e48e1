import type { IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type HostAndPort, parseAddress } from '../../config/address.ts';
import type { Logger } from '../../telemetry/log.ts';
import type { RemoteSpans } from '../../telemetry/remote-spans.ts';
import { traceContextOf } from '../../telemetry/trace-context.ts';

/** Tunnels at once: a pull has one or two for manifests and tokens. */
const mostTunnels = 1_024;
/** Characters of a target that are recorded: a name has 253 at most. */
const longestTarget = 300;

export interface TunnelOptions {
  /** `host:port`s that may be reached besides port 443 of every host: registries that listen elsewhere (`registries.hosts`). */
  readonly hosts: ReadonlySet<string>;
  readonly connectTimeoutMs: number;
  /** Milliseconds without a byte either way after which a tunnel is ended. */
  readonly idleMs: number;
  readonly log: Logger;
  /** Records, for the traces of others, how long a way took to open; without it nothing is. */
  readonly spans?: RemoteSpans | undefined;
}

/**
 * Answers CONNECT of other nodes (RFC 9110, section 9.3.6), so that nodes without a way out reach registries and their token
 * servers. TLS goes from end to end: a mirror sees where to, and no credential.
 */
export class TunnelHandler {
  readonly #options: TunnelOptions;
  readonly #open = new Set<Socket>();

  constructor(options: TunnelOptions) {
    this.#options = options;
  }

  /** Takes the connection over, or ends it with the reason. `early`: what came behind the request's head. */
  handle(request: IncomingMessage, client: Duplex, early: Buffer): void {
    const { connectTimeoutMs, idleMs, log, spans } = this.#options;
    client.on('error', () => client.destroy());
    const target = parseAddress(request.url ?? '');
    const refusal = this.#refusal(request.url ?? '', target);
    const told = spans && toldOf(request, spans);
    if (target === undefined || refusal !== undefined) {
      told?.('refused');
      refuse(client, refusal ?? '400 Bad Request');
      return;
    }
    const upstream = connect({ host: target.host, port: target.port, noDelay: true });
    this.#open.add(upstream);
    upstream.setTimeout(connectTimeoutMs, () => upstream.destroy(new Error('it does not answer')));
    upstream.once('close', () => {
      told?.('failed');
      this.#open.delete(upstream);
      client.destroy();
    });
    client.once('close', () => upstream.destroy());
    upstream.on('error', (error) => {
      log.debug({ err: error, target: request.url }, 'a tunnel has ended');
      refuse(client, '502 Bad Gateway');
    });
    upstream.once('connect', () => {
      told?.('opened');
      upstream.removeAllListeners('error').on('error', () => client.destroy());
      upstream.removeAllListeners('timeout').setTimeout(idleMs, () => upstream.destroy());
      client.write('HTTP/1.1 200 Connection Established\r\n\r\n');
      if (early.length > 0) upstream.write(early);
      client.pipe(upstream).pipe(client);
    });
  }

  #refusal(authority: string, target: HostAndPort | undefined): string | undefined {
    if (target === undefined) return '400 Bad Request';
    if (target.port !== 443 && !this.#options.hosts.has(authority)) return '403 Forbidden';
    return this.#open.size >= mostTunnels ? '503 Service Unavailable' : undefined;
  }

  close(): void {
    for (const upstream of this.#open) upstream.destroy();
  }
}

/** Call the result with how it ended; what comes after the first call is no news. Undefined where the asker does not record. */
function toldOf({ headers, url = '' }: IncomingMessage, spans: RemoteSpans): ((outcome: string) => void) | undefined {
  const context = traceContextOf(headers.traceparent, headers.tracestate);
  const target = { 'server.address': url.slice(0, longestTarget) };
  let work = context && spans.begin('tunnel', context, target, 'tunnels');
  return (
    work &&
    ((outcome) => {
      work?.done(outcome);
      work = undefined;
    })
  );
}

function refuse(client: Duplex, status: string): void {
  client.end(`HTTP/1.1 ${status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
}
