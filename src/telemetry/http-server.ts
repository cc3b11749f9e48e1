import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, isIP } from 'node:net';
import type { Logger } from './log.ts';

/** What is answered. */
export interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string | Buffer;
  /** It may be kept; nothing may by default. */
  readonly cacheable?: boolean;
}

/** Answers a path (without the query), or nothing when there is nothing there. */
export type Route = (path: string) => Answer | undefined | Promise<Answer | undefined>;

export interface HttpServerOptions {
  readonly host: string;
  readonly port: number;
  readonly route: Route;
  readonly log: Logger;
}

/** A page, Prometheus, the probes and a person's curl are few; whoever opens more waits. */
const mostConnections = 64;
const maxHeaderBytes = 16 * 1024;
const requestMs = 10_000;
/** Another attempt to listen, when the port is taken. */
const retryMs = 10_000;

/** Everything comes from here, nothing runs inline, nothing is sent anywhere: what a page without forms and frames may. */
const securityHeaders = {
  'Content-Security-Policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cross-Origin-Opener-Policy': 'same-origin',
} as const;

/** A small read-only HTTP server: GET and HEAD, nothing else. */
export class HttpServer {
  readonly #options: HttpServerOptions;
  readonly #server: Server;
  #retry: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: HttpServerOptions) {
    this.#options = options;
    this.#server = createServer({
      maxHeaderSize: maxHeaderBytes,
      headersTimeout: requestMs,
      requestTimeout: requestMs,
      keepAliveTimeout: requestMs,
    });
    this.#server.maxConnections = mostConnections;
    this.#server.on('request', (request, response) => void this.#serve(request, response));
  }

  /** Where it listens; undefined while it doesn't. */
  get address(): { readonly host: string; readonly port: number } | undefined {
    const address = this.#server.address() as AddressInfo | null;
    return address === null ? undefined : { host: address.address, port: address.port };
  }

  /** Listens, or tries again later when the port is taken: nobody's pull depends on it. Resolves after the first try. */
  async listen(): Promise<void> {
    const { host, port, log } = this.#options;
    if (this.#closed) return;
    const error = await new Promise<NodeJS.ErrnoException | undefined>((resolve) => {
      this.#server.once('error', resolve);
      this.#server.listen({ host, port }, () => {
        this.#server.off('error', resolve);
        resolve(undefined);
      });
    });
    if (error === undefined) {
      this.#server.on('error', (cause) => log.warn({ err: cause }, 'a telemetry connection could not be accepted'));
      log.info({ telemetry: this.address }, 'metrics and the status page are served');
      return;
    }
    log.warn({ host, port, reason: error.message }, 'metrics and the status page cannot be served (telemetry.port)');
    this.#retry = setTimeout(() => void this.listen(), retryMs).unref();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retry);
    if (!this.#server.listening) return;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    request.resume();
    const answer = await this.#answer(request);
    if (response.closed) return;
    const body = Buffer.from(answer.body);
    response.writeHead(answer.status, {
      ...securityHeaders,
      'Content-Type': answer.type,
      'Content-Length': body.length,
      'Cache-Control': answer.cacheable === true ? 'max-age=60' : 'no-store',
    });
    response.end(request.method === 'HEAD' ? undefined : body);
  }

  async #answer(request: IncomingMessage): Promise<Answer> {
    if (request.method !== 'GET' && request.method !== 'HEAD') return text(405, 'only GET and HEAD\n');
    if (!this.#isExpectedHost(request.headers.host)) {
      return text(421, 'ask by an address, or as localhost\n');
    }
    const [path = '/'] = (request.url ?? '/').split('?');
    try {
      return (await this.#options.route(path)) ?? text(404, 'there is nothing here\n');
    } catch (error) {
      this.#options.log.error({ err: error, path }, 'a telemetry request failed');
      return text(500, "it failed; the agent's log has the cause\n");
    }
  }

  /**
   * A page of somebody else's, opened in a browser on this machine, can have its own name point to loopback (DNS
   * rebinding), and would then read what is here. Its requests carry that name. Whoever listens on other addresses has
   * opened this to the network anyway, and is asked by names that are not known here.
   */
  #isExpectedHost(header: string | undefined): boolean {
    if (header === undefined || !isLoopback(this.#options.host)) return true;
    const name = header
      .replace(/:\d+$/, '')
      .replace(/^\[(.*)\]$/, '$1')
      .toLowerCase();
    return isIP(name) !== 0 || name === 'localhost';
  }
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('127.');
}

export function text(status: number, body: string): Answer {
  return { status, type: 'text/plain; charset=utf-8', body };
}

export function json(value: unknown): Answer {
  return { status: 200, type: 'application/json', body: `${JSON.stringify(value)}\n` };
}
