import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const unit = 'shoal.service';
const boundMs = 5_000;
type Variables = Readonly<Record<string, string | undefined>>;

/**
 * The variables that the agent is configured by on this node: those of its unit (`bootstrap.sh` and `systemctl edit` put some
 * there), and over them the SHOAL_ ones of this shell. Without such a unit they are the shell's.
 */
export async function agentVariables(own: Variables): Promise<Variables> {
  const given = await unitVariables();
  if (given === undefined) return own;
  return { ...given, ...Object.fromEntries(Object.entries(own).filter(([name]) => name.startsWith('SHOAL_'))) };
}

async function unitVariables(): Promise<Variables | undefined> {
  try {
    const args = ['show', unit, '--property=LoadState', '--property=Environment'];
    const { stdout } = await promisify(execFile)('systemctl', args, { timeout: boundMs, killSignal: 'SIGKILL' });
    return parseUnit(stdout);
  } catch {
    // No systemd, or one that does not answer.
    return undefined;
  }
}

/** What `systemctl show` prints of LoadState and Environment; undefined where there is no such unit. */
export function parseUnit(text: string): Readonly<Record<string, string>> | undefined {
  if (!/^LoadState=loaded$/m.test(text)) return undefined;
  const line = /^Environment=(.*)$/m.exec(text)?.[1] ?? '';
  // Assignments with spaces, quotes or worse in them stand in quotes as a whole, as a shell would read them.
  const assignments = line.match(/"(?:[^"\\]|\\.)*"|\$'(?:[^'\\]|\\.)*'|[^ ]+/g) ?? [];
  const pairs = assignments.map((word) => unquoted(word)).filter((word) => word.includes('='));
  return Object.fromEntries(pairs.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]));
}

function unquoted(word: string): string {
  const [, inner] = /^(?:"|\$')(.*)["']$/s.exec(word) ?? [];
  return inner === undefined ? word : inner.replace(/\\(.)/g, '$1');
}
