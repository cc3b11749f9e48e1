import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Server } from 'node:net';
import path from 'node:path';
import { type Command, runBy } from './process.ts';

const program = path.join(import.meta.dirname, 'foreign-listener-main.ts');

/**
 * Has a server of this process listen in another network namespace. Which namespace a socket belongs to is settled when it is
 * made, so a process over there makes it, hands it over, and is gone.
 */
export async function listenBy(prefix: Command, server: Server, port: number): Promise<void> {
  const [command, ...args] = runBy(prefix, [process.execPath, program, String(port)]);
  const child = spawn(command, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const handle = await new Promise<object>((resolve, reject) => {
    child.once('message', (_message, socket) => resolve(socket as object));
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`port ${port} can't be listened on over there: exit code ${code}`)));
  });
  // As long as it lives it takes connections, too.
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  server.listen(handle);
  await once(server, 'listening');
}
