import type { Config } from '../config/schema.ts';
import { native } from '../native/index.ts';
import { SwarmNode } from '../swarm/node.ts';
import type { Logger } from '../telemetry/log.ts';
import { serveTelemetry } from './role-telemetry.ts';
import { mustJoin } from './roles.ts';
import { stopSignal } from './stop-signal.ts';
import { startTraces } from './traces.ts';

/**
 * `shoal scheduler`: hosts directory shards and nothing else. Where schedulers are members, agents host none. Runs until SIGTERM
 * or SIGINT; throws when it can't serve.
 */
export async function runScheduler(config: Config, log: Logger): Promise<void> {
  const stop = stopSignal();
  const traces = startTraces(config, () => node.identity.id, log);
  const spans = traces?.remote;
  const node = mustJoin(
    await SwarmNode.create({ config: config.p2p, role: 'scheduler', native, environment: process.env, log, spans }),
  );
  await node.listen();
  const telemetry = await serveTelemetry(config, { swarm: { node } }, log);
  log.info({ id: node.identity.id, port: config.p2p.port }, 'scheduler ready');
  await stop;
  log.info('scheduler stops');
  await Promise.all([telemetry.close(), traces?.close()]);
  await node.close();
}
