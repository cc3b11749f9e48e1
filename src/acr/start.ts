import { type Clock, systemClock } from '../clock.ts';
import { instancesOf } from '../config/acr.ts';
import type { Config } from '../config/schema.ts';
import { dockerConfigFile } from '../registry/logins/docker-config-file.ts';
import { createLogins } from '../registry/logins/logins.ts';
import type { LoginSource, Logins } from '../registry/logins/types.ts';
import type { Environment } from '../registry/proxy.ts';
import type { Logger } from '../telemetry/log.ts';
import { environmentKey, fileKey } from './access-key.ts';
import { Api } from './api.ts';
import { createHttpClient, type HttpClient } from './http.ts';
import { InstanceApi } from './instance-api.ts';
import { Instances } from './instances.ts';
import type { KeySource } from './key-source.ts';
import { LastGood } from './last-good.ts';
import { AcrLogin } from './login.ts';
import { EcsMetadata } from './metadata.ts';
import { Place } from './place.ts';
import { Renewed } from './renewed.ts';
import { rrsa } from './rrsa.ts';
import { ServerTime } from './server-time.ts';
import { Sts } from './sts.ts';
import type { InstanceHosts, InstancesStatus } from './types.ts';

/** What the agent has of Alibaba Cloud. */
export interface Acr {
  readonly instances: InstanceHosts;
  readonly logins: Logins;
  close(): Promise<void>;
}

export interface AcrOptions {
  /** For the AccessKey and the proxies. */
  readonly environment: Environment;
  readonly clock?: Clock;
}

/** Milliseconds: the metadata service is one hop away. */
const metadataConnectMs = 2_000;

/**
 * Starts to keep the configured instances' hosts up to date; without instances there is nothing to do. Returns as soon as what was
 * known before counts again, and waits for no answer of the cloud: whatever fails there is logged, and tried again. Throws for an
 * unusable proxy or CA file alone, like `createRegistryClient`.
 */
export async function startAcr(config: Config, log: Logger, options: AcrOptions): Promise<Acr> {
  const ids = instancesOf(config);
  const { dockerConfigFile: file, acr: temporaryLogins } = config.registries.logins;
  const sources: LoginSource[] = file === undefined ? [] : [dockerConfigFile(file)];
  if (ids.length === 0) {
    return { instances: unrestricted, logins: createLogins(sources), close: async () => undefined };
  }
  const { clock = systemClock, environment } = options;
  const cloud = createHttpClient({
    hosts: config.registries.hosts,
    environment,
    connectTimeoutMs: config.p2p.connectTimeout * 1000,
  });
  const local = createHttpClient({ hosts: {}, environment: undefined, connectTimeoutMs: metadataConnectMs });
  const time = new ServerTime(Date.now);
  const metadata = new EcsMetadata(config.acr.endpoints.metadata, local.send, clock);
  const place = new Place({
    region: config.region,
    vpcId: config.vpcId,
    internet: config.pullImageInternet,
    endpoints: config.acr.endpoints,
    metadata,
  });
  const api = new Api({ send: cloud.send, time, clock, log });
  const { keys, authorization } = keySource(config, { environment, metadata, time, log, api, place });
  const instanceApi = new InstanceApi(api, keys);
  const instances = new Instances({
    ids,
    authorization,
    resolve: (id, signal) => endpoints(config, instanceApi, place, id, signal),
    lastGood: new LastGood(config.stateDir, settingsOf(config)),
    refreshInterval: config.acr.refreshInterval,
    clock,
    wallNow: () => time.now(),
    log,
  });
  if (temporaryLogins) {
    const login = async (id: string, signal: AbortSignal) => instanceApi.login(await place.region(signal), id, signal);
    sources.push(new AcrLogin({ instanceOf: (host) => instances.instanceOf(host), login, time }));
  }
  await instances.start();
  return { instances, logins: createLogins(sources), close: () => closeAll(instances, [cloud, local]) };
}

/** Without instances every registry is accelerated, as `registries` says. */
const unrestricted: InstanceHosts = {
  hosts: () => undefined,
  onChange: () => () => undefined,
  status: () => ({ authorization: undefined, instances: [] }),
};

interface Cloud {
  readonly environment: Environment;
  readonly metadata: EcsMetadata;
  readonly time: ServerTime;
  readonly log: Logger;
  readonly api: Api;
  readonly place: Place;
}

/** One of the three ways: RRSA when it is switched on, an AccessKey when there is one, else the node's RAM role. */
function keySource(
  config: Config,
  { environment, metadata, time, log, api, place }: Cloud,
): { readonly keys: KeySource; readonly authorization: InstancesStatus['authorization'] } {
  const { enable, rrsaRoleARN, rrsaOIDCProviderRoleARN, assumeRoleARN, expireDuration, tokenFile } = config.rrsa;
  if (enable && rrsaRoleARN !== undefined && rrsaOIDCProviderRoleARN !== undefined) {
    const chained = assumeRoleARN && { roleArn: assumeRoleARN, durationSeconds: expireDuration };
    const role = { roleArn: rrsaRoleARN, providerArn: rrsaOIDCProviderRoleARN, tokenFile, ...(chained && { chained }) };
    const sts = new Sts(api, (signal) => place.stsOrigins(signal));
    return { keys: rrsa(role, sts, time, log), authorization: 'rrsa' };
  }
  const { accessKeyFile: id, accessKeySecretFile: secret, securityTokenFile: token } = config;
  if (id !== undefined && secret !== undefined) {
    return { keys: fileKey({ id, secret, token }), authorization: 'accessKey' };
  }
  const fromEnvironment = environmentKey(environment);
  if (fromEnvironment !== undefined) return { keys: fromEnvironment, authorization: 'accessKey' };
  return {
    keys: new Renewed((signal) => metadata.roleCredentials(signal), time, log),
    authorization: 'workerRole',
  };
}

async function endpoints(config: Config, api: InstanceApi, place: Place, id: string, signal: AbortSignal) {
  const region = await place.region(signal);
  if (config.pullImageInternet) return api.internetEndpoint(region, id, signal);
  return api.vpcEndpoint(region, id, await place.vpcId(signal), signal);
}

/** What the known hosts depend on, besides the instances. */
function settingsOf(config: Config): string {
  return JSON.stringify([config.region ?? '', config.pullImageInternet, config.acr.endpoints.openapi ?? '']);
}

async function closeAll(instances: Instances, clients: readonly HttpClient[]): Promise<void> {
  await instances.close();
  await Promise.all(clients.map((client) => client.close()));
}
