import type { LogLine } from './agent.ts';
import type { Cluster } from './cluster.ts';
import type { RelayedRequest } from './relay.ts';

const mostLines = 40;

/**
 * The registry must have sent at most `factor` times the image since the last reset. Rejects otherwise, and says what it sent more than
 * once to whom, and what the agents complained about.
 */
export async function expectOriginBytes<Image extends string>(
  cluster: Cluster<Image>,
  name: Image,
  factor: number,
): Promise<void> {
  const { size } = await cluster.content(name);
  const sent = cluster.origin.blobBytes / size;
  if (sent <= factor) return;
  const lines = [
    `the registry sent ${sent.toFixed(3)} times the image, more than ${factor}`,
    ...repeated(cluster.origin.requests).slice(0, mostLines),
    ...cluster.nodes.flatMap(({ host, agent }) => complaints(host.name, agent.log())).slice(-mostLines),
  ];
  throw new Error(lines.join('\n'));
}

/** What was asked for and had been asked for before. */
function repeated(requests: readonly RelayedRequest[]): string[] {
  const before = new Map<string, string[]>();
  const lines: string[] = [];
  for (const { kind, reference, range, client, sent, userAgent } of requests) {
    if (kind !== 'blob' || sent === 0) continue;
    const what = `${reference.slice(0, 15)} ${range ?? 'whole'}`;
    const askers = before.get(what) ?? [];
    before.set(what, [...askers, client]);
    if (askers.length > 0 || range === undefined) {
      lines.push(
        `${client} ${what} (${sent} bytes, ${userAgent || 'Shoal'}), before it ${askers.join(' ') || 'nobody'}`,
      );
    }
  }
  return lines;
}

function complaints(node: string, log: readonly LogLine[]): string[] {
  const warning = 40;
  return log.filter(({ level }) => Number(level) >= warning).map((line) => `${node} ${JSON.stringify(line)}`);
}
