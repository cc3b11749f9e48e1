import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer as createHttpServer, request as httpRequest, type RequestListener } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { Server } from 'node:net';
import path from 'node:path';
import { createAuthority } from '../certificates.ts';
import { listenBy } from '../foreign-listener.ts';
import { createNetworkNamespace } from '../netns.ts';
import { type Command, run } from '../process.ts';
import { type Relay, startRelay } from '../relay.ts';
import type { Scope } from '../scope.ts';
import { temporaryFolder } from '../temp.ts';
import { type CloudServices, createAlibabaCloud } from './server.ts';
import type { FakeCloudState } from './types.ts';

export interface SiteOptions {
  readonly state: FakeCloudState;
  /** Registries behind names, each with the URL of the one that has its images. */
  readonly registries: Readonly<Record<string, string>>;
}

/**
 * A machine that knows nothing but a fake Alibaba Cloud and some registries, all under their real names: its name resolution, its
 * addresses and its trust are its own. Whatever is asked for elsewhere is not there.
 */
export interface Site extends CloudServices {
  /** Goes before a command that is to run there. */
  readonly prefix: Command;
  /** What was asked of a registry. */
  registry(name: string): Relay;
}

/** The metadata service's address (help.aliyun.com, "ECS instance metadata"). */
const metadataAddress = '100.100.100.200';

/** Makes the machine, gone with the scope. Needs root. */
export async function startSite(scope: Scope, { state, registries }: SiteOptions): Promise<Site> {
  const folder = await temporaryFolder(scope, 'site');
  const services = createAlibabaCloud(state);
  const relays = new Map<string, Relay>();
  for (const [name, url] of Object.entries(registries)) relays.set(name, await startRelay(scope, url));

  const apis = ['cr', 'cr-vpc', 'sts', 'sts-vpc'].map((product) => `${product}.${state.region}.aliyuncs.com`);
  const namesHere = [...apis, ...relays.keys()];
  const authority = await createAuthority(scope);
  const { certificateFile, keyFile } = await authority.issue(
    'site',
    namesHere.map((name) => `DNS:${name}`),
  );
  const hostsFile = path.join(folder, 'hosts');
  await writeFile(hostsFile, ['127.0.0.1 localhost', ...namesHere.map((name) => `127.0.0.1 ${name}`), ''].join('\n'));

  const { prefix } = await createNetworkNamespace(scope);
  await run([...prefix, 'ip', 'address', 'add', `${metadataAddress}/32`, 'dev', 'lo']);
  const onRequest: RequestListener = (request, response) => {
    const relay = relays.get(request.headers.host ?? '');
    if (relay === undefined) services.onApi(request, response);
    else passOn(relay.url)(request, response);
  };
  const tls = { cert: await readFile(certificateFile), key: await readFile(keyFile) };
  await listen(scope, prefix, createHttpsServer(tls, onRequest), 443);
  await listen(scope, prefix, createHttpServer(services.onMetadata), 80);

  const bindHosts = ['unshare', '--mount', 'sh', '-c', 'mount --bind "$0" /etc/hosts && exec "$@"', hostsFile];
  // What Go's and Node's TLS take for the system's own authorities.
  const trust = [
    'env',
    `SSL_CERT_FILE=${authority.certificateFile}`,
    `NODE_EXTRA_CA_CERTS=${authority.certificateFile}`,
  ];
  return Object.assign(services, {
    prefix: [...prefix, ...bindHosts, ...trust] as const,
    registry(name: string) {
      const relay = relays.get(name);
      if (relay === undefined) throw new Error(`there is no registry ${name} here`);
      return relay;
    },
  });
}

async function listen(scope: Scope, prefix: Command, server: Server & { closeAllConnections(): void }, port: number) {
  await listenBy(prefix, server, port);
  scope.defer(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
}

/** Passes requests on to a registry, under the name that they were sent to. */
function passOn(upstream: string): RequestListener {
  return (request, response) => {
    const { method = 'GET', url = '/', headers } = request;
    const outgoing = httpRequest(`${upstream}${url}`, { method, headers });
    response.on('close', () => outgoing.destroy());
    outgoing.on('error', () => response.destroy());
    outgoing.on('response', (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.on('error', () => response.destroy());
      answer.pipe(response);
    });
    request.pipe(outgoing);
  };
}
