import { setTimeout as delay } from 'node:timers/promises';
import { ProbeError, probeImageService } from '../cri/probe.ts';
import { type ConfigOptions, loadFromOptions } from './config-options.ts';
import { UsageError } from './exit-codes.ts';
import { type OutputFormat, print } from './output.ts';

interface Options extends ConfigOptions {
  readonly socket?: string;
  readonly timeout: string;
  readonly output: OutputFormat;
}

/** Milliseconds between two attempts. */
const pause = 200;

/** `shoal runtime probe`: whether the kubelet can be pointed at the socket. Tries again until the time is over. */
export async function probe(options: Options): Promise<void> {
  const seconds = Number(options.timeout);
  if (!(seconds > 0 && seconds <= 3600)) throw new UsageError('--timeout is a number of seconds, up to 3600');
  const socket = options.socket ?? (await loadFromOptions(options)).config.listen;
  const began = performance.now();
  const left = (): number => began + seconds * 1000 - performance.now();
  for (;;) {
    try {
      await probeImageService(socket, Math.max(1, left()));
      break;
    } catch (error) {
      if (!(error instanceof ProbeError) || left() <= pause) throw error;
      await delay(pause);
    }
  }
  const milliseconds = Math.round(performance.now() - began);
  print(options.output, `${socket} answers ImageFsInfo (${milliseconds} ms)`, { socket, milliseconds });
}
