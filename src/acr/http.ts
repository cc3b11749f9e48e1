import { BodyCollector } from '../registry/answer.ts';
import { Connections } from '../registry/dispatcher.ts';
import type { RegistryHosts } from '../registry/endpoint.ts';
import { exchange, type HttpRequest } from '../registry/exchange.ts';
import { describeRequest } from '../registry/failure.ts';
import { createProxyRule, type Environment } from '../registry/proxy.ts';
import { RegistryError } from '../registry/types.ts';

/** An answer, whatever its status. */
export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
  header(name: string): string | undefined;
}

/** One request and its answer. Rejects with a `RegistryError`, or with the signal's reason. */
export type Send = (request: HttpRequest) => Promise<HttpAnswer>;

export interface HttpClientOptions {
  /** For the private CA of a private cloud (`registries.hosts.<host>.caFile`). */
  readonly hosts: RegistryHosts;
  /** For HTTP_PROXY, HTTPS_PROXY and NO_PROXY; undefined: never through a proxy. */
  readonly environment: Environment | undefined;
  readonly connectTimeoutMs: number;
}

export interface HttpClient {
  readonly send: Send;
  close(): Promise<void>;
}

/** Bytes. The longest real answers, lists of endpoints with their access rules, have some KiB. */
const maxAnswerBytes = 1024 * 1024;
/** An agent asks for one thing after the other; logins come beside that. */
const connectionsPerHost = 4;

/** Makes a client for small answers, over the registry client's kind of connections. Throws like `createRegistryClient`. */
export function createHttpClient({ hosts, environment, connectTimeoutMs }: HttpClientOptions): HttpClient {
  const connections = new Connections({
    hosts,
    proxyFor: environment === undefined ? () => undefined : createProxyRule(environment),
    connectTimeoutMs,
    // Each request brings a deadline for the whole.
    transferTimeoutMs: 60_000,
    connections: connectionsPerHost,
  });
  return {
    async send(request) {
      const answer = new BodyCollector(maxAnswerBytes);
      await exchange(connections.dispatcherFor(request.url, request.url.host), request, answer);
      if (answer.truncated) {
        const name = describeRequest(request.method, request.url);
        throw new RegistryError('invalid', `${name}: an answer of more than ${maxAnswerBytes} bytes`);
      }
      return {
        status: answer.status,
        body: answer.body.toString('utf8'),
        header: (name) => answer.header(name),
      };
    },
    close: () => connections.close(),
  };
}
