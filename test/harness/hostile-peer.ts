import path from 'node:path';
import type { Host } from './network.ts';
import { runBy, start } from './process.ts';
import type { Scope } from './scope.ts';

const program = path.join(import.meta.dirname, 'hostile-peer-main.ts');

export interface HostilePeer {
  /** Until then it is honest. */
  beginToLie(): void;
  /** Bytes that it has made wrong so far. */
  readonly wrongBytes: number;
}

export interface HostilePeerOptions {
  /** The port that the other nodes ask. */
  readonly port: number;
  /** The port that the agent really listens on. */
  readonly behind: number;
  /** Bytes to the first wrong one, and between two. */
  readonly first: number;
  readonly distance: number;
}

/** Stands in front of a node's agent, and makes some of the bytes wrong that it sends to others. */
export async function startHostilePeer(scope: Scope, host: Host, options: HostilePeerOptions): Promise<HostilePeer> {
  const { port, behind, first, distance } = options;
  const args = [port, behind, first, distance].map(String);
  const running = await start(scope, 'hostile peer', runBy(host.prefix, [process.execPath, program, ...args]));
  await running.until(() => running.output.includes('serving'), { what: 'its port' });
  return {
    beginToLie: () => running.kill('SIGUSR2'),
    get wrongBytes() {
      return Number(
        running.output
          .match(/wrong bytes: (\d+)/g)
          ?.at(-1)
          ?.split(' ')[2] ?? 0,
      );
    },
  };
}
