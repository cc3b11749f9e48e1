/**
 * A supervisor as a process, with the scripted engine. Arguments: its socket, the runtime's, the run folder, the engine's command; or,
 * with --bridge behind them, a bridge.
 */
import path from 'node:path';
import { runBridge } from '../../src/agent/bridge.ts';
import { runSupervisor } from '../../src/agent/supervisor.ts';
import { createLogger } from '../../src/telemetry/log.ts';

const [listen = '', runtime = '', runDir = '', command = process.execPath] = process.argv.slice(2);
const stop = new AbortController();
process.once('SIGTERM', () => stop.abort());
const common = {
  listen,
  runtimeEndpoint: `unix://${runtime}`,
  runDir,
  environment: process.env,
  log: createLogger({ name: 'supervisor', level: 'debug' }),
  stop: stop.signal,
};
if (process.argv.includes('--bridge')) {
  await runBridge(common);
  process.exit();
}
await runSupervisor({
  ...common,
  telemetry: { host: '127.0.0.1', port: 0 },
  engine: {
    command,
    args: [path.join(import.meta.dirname, 'fake-engine-main.ts'), path.join(runDir, 'engine.sock')],
    handover: '{"handed":"over"}',
  },
});
