import { parseDocument } from 'yaml';
import type { Finding } from './errors.ts';
import { type ConfigKey, configKeys } from './keys.ts';
import { nearest } from './nearest.ts';

/** One value from outside the file: from the environment or a flag. */
export interface Setting {
  readonly key: ConfigKey;
  readonly value: unknown;
  /** `environment variable SHOAL_MIRROR_PORT`, `--set mirror.port`. */
  readonly where: string;
}

export interface Settings {
  readonly settings: readonly Setting[];
  readonly findings: readonly Finding[];
}

/** SHOAL_ variables that are not keys: the configuration's file, the built program, the tests' containerd. */
export const reservedVariables: ReadonlySet<string> = new Set(['SHOAL_CONFIG', 'SHOAL_ENTRY', 'SHOAL_CONTAINERD']);

/**
 * The settings among the environment's variables. A misspelt one is a finding: silently ignored it would be a default
 * in disguise. What Kubernetes puts into a pod's environment for a Service called shoal… is left alone.
 */
export function settingsFromEnvironment(env: Readonly<Record<string, string | undefined>>): Settings {
  const byVariable = new Map(configKeys.map((key) => [key.variable, key]));
  const settings: Setting[] = [];
  const findings: Finding[] = [];
  for (const [variable, text] of Object.entries(env)) {
    if (text === undefined || !variable.startsWith('SHOAL_')) continue;
    if (reservedVariables.has(variable) || isServiceLink(variable, text)) continue;
    const where = `environment variable ${variable}`;
    const key = byVariable.get(variable);
    if (key) {
      readValue(key, text, where, settings, findings);
    } else {
      const meant = nearest(variable, byVariable.keys());
      findings.push({
        where,
        key: '',
        message: `is not a setting${meant ? `; did you mean ${meant}?` : '.'} \`shoal config schema\` lists the keys; mirror.port is SHOAL_MIRROR_PORT`,
      });
    }
  }
  return { settings, findings };
}

/** The settings of `--set key=value` arguments; a later one wins. */
export function settingsFromFlags(assignments: readonly string[]): Settings {
  const byName = new Map(configKeys.map((key) => [key.name, key]));
  const settings: Setting[] = [];
  const findings: Finding[] = [];
  for (const assignment of assignments) {
    const equals = assignment.indexOf('=');
    const name = equals === -1 ? assignment : assignment.slice(0, equals);
    const where = `--set ${name}`;
    const key = byName.get(name);
    if (equals === -1) {
      findings.push({ where, key: '', message: 'has no value; write --set key=value' });
    } else if (key) {
      readValue(key, assignment.slice(equals + 1), where, settings, findings);
    } else {
      findings.push({ where, key: '', message: unknownName(name, [...byName.keys()]) });
    }
  }
  return { settings, findings };
}

function unknownName(name: string, names: readonly string[]): string {
  const inside = names.filter((known) => known.startsWith(`${name}.`));
  if (inside.length > 0) return `is a section; set one of ${inside.join(', ')}`;
  const under = names.find((known) => name.startsWith(`${known}.`));
  if (under) return `can't be set by itself; set all of ${under}, as in --set '${under}={"a.example:5000": {…}}'`;
  const meant = nearest(name, names);
  return `is not a key${meant ? `; did you mean ${meant}?` : '.'} \`shoal config schema\` lists the keys`;
}

function readValue(key: ConfigKey, text: string, where: string, settings: Setting[], findings: Finding[]): void {
  if (key.kind === 'text') {
    settings.push({ key, value: text, where });
    return;
  }
  if (key.kind === 'list' && !text.trimStart().startsWith('[')) {
    const items = text.split(',').map((item) => item.trim());
    settings.push({ key, value: items.filter((item) => item !== ''), where });
    return;
  }
  const document = parseDocument(text, { prettyErrors: false });
  const error = document.errors[0];
  if (error)
    findings.push({ where, key: key.name, message: `is not valid: ${error.message}; allowed: ${key.allowed}` });
  else settings.push({ key, value: document.toJS({ maxAliasCount: 0 }), where });
}

/** https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables */
function isServiceLink(variable: string, value: string): boolean {
  return (
    /_SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)$/.test(variable) ||
    /_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$/.test(variable) ||
    (variable.endsWith('_PORT') && /^(tcp|udp|sctp):\/\//.test(value))
  );
}
