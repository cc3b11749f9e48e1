/** A supervisor as a process, with the scripted engine. Arguments: its socket, the runtime's, the run folder, the engine's command. */
import path from 'node:path';
import { runSupervisor } from '../../src/agent/supervisor.ts';
import { createLogger } from '../../src/telemetry/log.ts';

const [listen = '', runtime = '', runDir = '', command = process.execPath] = process.argv.slice(2);
const stop = new AbortController();
process.once('SIGTERM', () => stop.abort());
await runSupervisor({
  listen,
  runtimeEndpoint: `unix://${runtime}`,
  runDir,
  telemetry: { host: '127.0.0.1', port: 0 },
  engine: {
    command,
    args: [path.join(import.meta.dirname, 'fake-engine-main.ts'), path.join(runDir, 'engine.sock')],
    handover: '{"handed":"over"}',
  },
  environment: process.env,
  log: createLogger({ name: 'supervisor', level: 'debug' }),
  stop: stop.signal,
});
