import { readFile, rm, writeFile } from 'node:fs/promises';

/** Beside the socket: who answers on it until the agent that is being replaced has a successor. */
const markOf = (listen: string): string => `${listen}.bridge`;

/** This process, a bridge, has taken the socket: the next agent may take it from this one. */
export async function markBridge(listen: string): Promise<void> {
  await writeFile(markOf(listen), `${process.pid}\n`, { mode: 0o600 });
}

/** The bridge that stands in on the socket, by its process id. */
export async function bridgeOn(listen: string): Promise<number | undefined> {
  const pid = Number(await readFile(markOf(listen), 'utf8').catch(() => ''));
  if (!Number.isSafeInteger(pid) || pid <= 0) return undefined;
  // One that was killed leaves its mark, and its number to somebody else.
  const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  return command.split('\0').includes('--bridge') ? pid : undefined;
}

/** The socket is this agent's now: a bridge is not needed any more. What it has begun it ends. */
export async function dismissBridge(listen: string, pid: number | undefined): Promise<void> {
  await rm(markOf(listen), { force: true });
  if (pid === undefined) return;
  try {
    process.kill(pid, 'SIGTERM');
  } catch {
    // It has ended by itself.
  }
}
