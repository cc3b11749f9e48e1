import { rm } from 'node:fs/promises';
import path from 'node:path';
import { CriClient } from './cri-client.ts';
import { type Command, type RunningProcess, runBy, start } from './process.ts';
import { Scope } from './scope.ts';
import { temporaryFolder } from './temp.ts';

const program = path.join(import.meta.dirname, 'runtime-stand-in-main.ts');

/** A container runtime as far as pulling goes: many of them are cheap where real ones would unpack on one disk. */
export interface RuntimeStandIn {
  readonly socket: string;
  /** A kubelet's client of its own socket, past Shoal. */
  readonly cri: CriClient;
  readonly process: RunningProcess;
  /** SIGKILL. */
  kill(): Promise<void>;
  /** Starts it anew after `kill`; it remembers no image. */
  restart(): Promise<void>;
}

export interface RuntimeStandInOptions {
  /** Path of its socket; in a folder of its own by default. */
  readonly socket?: string;
  /** The mirror that it asks before the registry, and the file of the secret for it. */
  readonly mirror?: { readonly url: string; readonly secretFile: string };
  readonly prefix?: Command;
}

/** Starts one that is gone when the scope closes. What it does is said at `Puller`. */
export async function startRuntimeStandIn(scope: Scope, options: RuntimeStandInOptions = {}): Promise<RuntimeStandIn> {
  const socket = options.socket ?? path.join(await temporaryFolder(scope, 'runtime'), 'runtime.sock');
  const { url = '', secretFile = '' } = options.mirror ?? {};
  const command = runBy(options.prefix, [process.execPath, program, socket, url, secretFile]);
  let life = new Scope();
  let running: RunningProcess;
  const begin = async (): Promise<void> => {
    life = new Scope();
    // What a killed one has left there.
    await rm(socket, { force: true });
    running = await start(life, 'runtime stand-in', command);
    await running.until(() => running.output.includes('serving'), { what: 'its socket', timeoutMs: 60_000 });
  };
  await begin();
  scope.defer(() => life.close());
  return {
    socket,
    cri: new CriClient(scope, socket),
    get process() {
      return running;
    },
    async kill() {
      running.kill('SIGKILL');
      await running.exited;
    },
    restart: begin,
  };
}
