import path from 'node:path';
import { loadSync, type MethodDefinition, type ServiceDefinition } from '@grpc/proto-loader';
import { packageRoot } from '../paths.ts';
import { frameMessage } from './grpc.ts';
import { askRuntime, type HeldAnswer } from './held-answer.ts';
import type { Runtime } from './runtime.ts';

const abort = (() => {
  const definitions = loadSync(path.join(packageRoot, 'proto/containerd-content.proto'));
  const service = definitions['containerd.services.content.v1.Content'] as ServiceDefinition;
  return service.Abort as MethodDefinition<object, object>;
})();

/** containerd's namespace for all that CRI pulls. */
const namespace = 'k8s.io';

/**
 * The download that containerd names when bytes did not match their digest or size: `failed commit on ref
 * "layer-sha256:…": unexpected commit digest …`. Its bad bytes are kept and committed again by the next pulls, which
 * then fail at once for minutes. `undefined` for every other failure.
 */
export function brokenIngest(message: string): string | undefined {
  if (!/unexpected commit (digest|size)|failed size validation/.test(message)) return undefined;
  return /failed commit on ref "([^"\\]{1,512})"/.exec(message)?.[1];
}

/** Asks containerd to forget a download. Resolves with its answer: UNIMPLEMENTED of other runtimes, which is fine. */
export function abortIngest(runtime: Runtime, ref: string, signal: AbortSignal): Promise<HeldAnswer> {
  const headers = {
    ':method': 'POST',
    ':scheme': 'http',
    ':authority': 'localhost',
    ':path': abort.path,
    'content-type': 'application/grpc',
    te: 'trailers',
    'containerd-namespace': namespace,
  };
  return askRuntime(runtime, headers, frameMessage(abort.requestSerialize({ ref })), signal);
}
