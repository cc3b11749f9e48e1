import { createClient } from './cluster.ts';
import { UsageError } from './exit-codes.ts';
import { leaveNodes } from './nodes-leave.ts';
import { type OutputFormat, print } from './output.ts';

interface LeaveCommandOptions {
  readonly daemonset: string;
  readonly namespace: string;
  readonly timeout: number;
  readonly kubeconfig?: string;
  readonly output: OutputFormat;
}

/** `shoal nodes leave`. */
export async function leave(options: LeaveCommandOptions): Promise<void> {
  const { daemonset: daemonSet, namespace, timeout } = options;
  if (!(timeout >= 1 && timeout <= 86_400)) throw new UsageError('--timeout is between 1 and 86400 seconds');
  const client = createClient(options.kubeconfig);
  try {
    const count = await leaveNodes({
      client,
      namespace,
      daemonSet,
      timeoutMs: timeout * 1000,
      onProgress: ({ ready, wanted }) => process.stderr.write(`${ready} of ${wanted} nodes are back to plain pulls\n`),
    });
    print(options.output, `done: ${count} nodes`, { nodes: count });
  } finally {
    await client.close();
  }
}
