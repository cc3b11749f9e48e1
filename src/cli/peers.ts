import type { PeerView } from '../agent/observation.ts';
import { formatBytes } from '../units.ts';
import { type ConfigOptions, loadFromOptions } from './config-options.ts';
import { formatTable } from './format.ts';
import { type OutputFormat, print } from './output.ts';
import { fromEngine } from './running-engine.ts';

/** `shoal peers`: the nodes that this one knows, and what went to and fro. */
export async function peers(options: ConfigOptions & { readonly output: OutputFormat }): Promise<void> {
  const { config } = await loadFromOptions(options);
  const known = await fromEngine(config.runDir, 'peers');
  print(options.output, describePeers(known), known);
}

export function describePeers(known: readonly PeerView[]): string {
  if (known.length === 0) return 'this node is alone: no other node is configured (p2p.membership.source)';
  const rows = known.map(({ id, zone, role, self, state, received, sent, address = '–' }) => [
    id,
    zone || '–',
    role,
    self ? 'this node' : state,
    formatBytes(received),
    formatBytes(sent),
    address,
  ]);
  return formatTable([['NODE', 'ZONE', 'ROLE', 'STATE', 'RECEIVED', 'SENT', 'ADDRESS'], ...rows]);
}
