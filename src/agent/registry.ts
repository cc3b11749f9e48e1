import { systemClock } from '../clock.ts';
import type { Config } from '../config/schema.ts';
import { createRegistryClient } from '../registry/client.ts';
import type { TunnelRule } from '../registry/dispatcher.ts';
import { OssAcceleration } from '../registry/oss-acceleration.ts';
import type { Detour } from '../registry/redirect.ts';
import type { RegistryClient } from '../registry/types.ts';
import type { Logger } from '../telemetry/log.ts';

/** The client of all registries, as the configuration says. */
export function configuredRegistryClient(
  config: Config,
  log: Logger,
  { detour, tunnelFor }: { readonly detour: Detour | undefined; readonly tunnelFor?: TunnelRule | undefined },
): RegistryClient {
  return createRegistryClient(
    {
      hosts: config.registries.hosts,
      connectTimeout: config.p2p.connectTimeout,
      transferTimeout: config.p2p.transferTimeout,
      parallels: config.p2p.proxyFsParallels,
      environment: process.env,
      detour,
      tunnelFor,
      ...(config.telemetry.traces.endpoint !== undefined && { tracing: config.telemetry.traces.registries }),
    },
    log,
  );
}

/** The detour that `p2p.plusMode.ossInternetAccelerate` asks for; undefined when it is off. */
export function ossAcceleration(config: Config, log: Logger): OssAcceleration | undefined {
  return config.p2p.plusMode.ossInternetAccelerate ? new OssAcceleration(systemClock.now, log) : undefined;
}
