/** The scripted engine as a process: started by a supervisor as the real one is. Its argument is the engine's socket. */
import { createReadStream } from 'node:fs';
import { text } from 'node:stream/consumers';
import { FakeEngine } from './fake-engine.ts';

const [socket = ''] = process.argv.slice(2);
const handover = await text(createReadStream('', { fd: 3 }));
const environment = Object.keys(process.env).filter((name) => /^(LISTEN|NOTIFY|WATCHDOG)_/.test(name));
const engine = new FakeEngine();
await engine.listen(socket);
process.stderr.write(`${JSON.stringify({ msg: 'fake engine ready', handover, environment })}\n`);
process.stdin.resume();
process.stdin.once('end', () => process.exit(0));
process.once('SIGTERM', () => process.exit(0));
