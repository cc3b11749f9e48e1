import type { z } from 'zod';
import type { Finding } from './errors.ts';
import { configKeys, describeAllowed, keysAt, schemaAt } from './keys.ts';
import { nearest } from './nearest.ts';

/** Where the value (or the key) at a path was given. */
export type Locate = (path: readonly PropertyKey[], part: 'key' | 'value') => string;

/** Turns what zod found into sentences for people. `tree` is what was checked. Values are named, unless they are long. */
export function findingsOf(issues: readonly z.core.$ZodIssue[], tree: unknown, locate: Locate): Finding[] {
  return issues.flatMap((issue) => {
    if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => unknownKey(issue.path, key, locate));
    // A record's key is wrong: the path already ends in it.
    if (issue.code === 'invalid_key') {
      const message = issue.issues[0]?.message ?? 'is not allowed as a key';
      return { where: locate(issue.path, 'key'), key: nameOf(issue.path), message };
    }
    return { where: locate(issue.path, 'value'), key: nameOf(issue.path), message: wrongValue(issue, tree) };
  });
}

function unknownKey(path: readonly PropertyKey[], key: string, locate: Locate): Finding {
  const here = [...path, key];
  const siblings = keysAt(path);
  const meant = nearest(key, siblings) ?? siblings.find((sibling) => sibling.startsWith(key)) ?? elsewhere(key);
  return {
    where: locate(here, 'key'),
    key: nameOf(here),
    message: `unknown key${meant ? `; did you mean ${meant}?` : '.'} Allowed here: ${siblings.join(', ')}`,
  };
}

/** A key that stands in the wrong section: `port` at the top is `mirror.port`. */
function elsewhere(key: string): string | undefined {
  const meant = nearest(key, new Set(configKeys.flatMap(({ path }) => path)));
  return configKeys.find(({ path }) => path.some((segment) => segment === meant))?.name;
}

function wrongValue(issue: z.core.$ZodIssue, tree: unknown): string {
  const value = valueAt(tree, issue.path);
  if (issue.code === 'custom') {
    const scalar = typeof value === 'string' || typeof value === 'number';
    return scalar && issue.message.startsWith('is ') ? `${show(value)} ${issue.message}` : issue.message;
  }
  const schema = schemaAt(issue.path);
  const allowed = schema ? describeAllowed(schema) : issue.message;
  if (value === undefined || value === null) return `has no value; allowed: ${allowed}`;
  if (issue.code === 'too_small') return `${show(value)} is too small; allowed: ${allowed}`;
  if (issue.code === 'too_big') return `${show(value)} is too large; allowed: ${allowed}`;
  const choices = schema?.enum?.map(String);
  const meant = typeof value === 'string' && choices ? nearest(value, choices) : undefined;
  const quotes = typeof value === 'string' && wantsNumber(schema?.type) && /^[\d.]+$/.test(value);
  const hint = meant ? ` Did you mean ${meant}?` : quotes ? ' Leave the quotes out' : '';
  return `${show(value)} is not allowed here; allowed: ${allowed}.${hint}`.replace(/\.$/, '');
}

function wantsNumber(type: unknown): boolean {
  return type === 'integer' || type === 'number';
}

function valueAt(tree: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (node, segment) =>
      typeof node === 'object' && node !== null && Object.hasOwn(node, segment)
        ? Reflect.get(node, segment)
        : undefined,
    tree,
  );
}

const longestShown = 60;

function show(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object' && value !== null) return 'a section';
  const text = typeof value === 'string' ? JSON.stringify(value) : String(value);
  return text.length > longestShown ? `${text.slice(0, longestShown)}…` : text;
}

function nameOf(path: readonly PropertyKey[]): string {
  return path.map(String).join('.');
}
