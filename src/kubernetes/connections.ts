import { createHash } from 'node:crypto';
import tls from 'node:tls';
import { Agent } from 'undici';
import type { Access } from './access.ts';
import { KubernetesError } from './types.ts';

/** Milliseconds for TCP and TLS. */
const connectTimeoutMs = 10_000;

/** Connections to the API server. Made anew when its CA or the client's certificate were replaced. */
export class Connections {
  #identity = '';
  #agent: Agent | undefined;
  readonly #retired = new Set<Agent>();

  /** For a request with this access. Throws a `KubernetesError` of kind `configuration` for a bad certificate or key. */
  for(access: Access): Agent {
    const { ca, certificate, key, serverName, insecure } = access;
    const identity = createHash('sha256')
      .update(JSON.stringify([ca, certificate, key, serverName, insecure]))
      .digest('hex');
    if (this.#agent !== undefined && this.#identity === identity) return this.#agent;
    const agent = createAgent(access);
    this.#retire(this.#agent);
    this.#agent = agent;
    this.#identity = identity;
    return agent;
  }

  /** Ends every connection; requests in flight fail. */
  async close(): Promise<void> {
    await Promise.all([this.#agent, ...this.#retired].map((agent) => agent?.destroy()));
  }

  /** A watch under way goes on until the server ends it, minutes later. */
  #retire(agent: Agent | undefined): void {
    if (agent === undefined) return;
    this.#retired.add(agent);
    agent.close().finally(() => this.#retired.delete(agent));
  }
}

function createAgent({ ca, certificate, key, serverName, insecure }: Access): Agent {
  let secureContext: tls.SecureContext;
  try {
    secureContext = tls.createSecureContext({ ca, cert: certificate, key });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const what = 'the CA, the client certificate or its key for the Kubernetes API';
    throw new KubernetesError('configuration', `${what} can't be used: ${reason}`, { cause });
  }
  const servername = serverName === undefined ? {} : { servername: serverName };
  return new Agent({
    // One watch and one list at a time for each of a few resources.
    connections: 8,
    // Times are bounded by the client: a watch that is quiet for a minute is no failure.
    headersTimeout: 0,
    bodyTimeout: 0,
    // One HTTP/2 connection for all would keep every new watch on a dead one.
    allowH2: false,
    connect: { timeout: connectTimeoutMs, secureContext, rejectUnauthorized: !insecure, allowH2: false, ...servername },
  });
}
