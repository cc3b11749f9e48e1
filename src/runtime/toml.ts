import { parse, TomlError, type TomlTable } from 'smol-toml';
import { RuntimeConfigError } from './types.ts';

/** Parses a runtime's TOML file. Throws with the place of the first mistake and `consequence`: what the runtime makes of it. */
export function parseToml(file: string, text: string, consequence: string): TomlTable {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const cause = error.message.split('\n')[0]?.replace('Invalid TOML document: ', '');
    throw new RuntimeConfigError(
      `${file}:${error.line}:${error.column}: not valid TOML: ${cause}. ${consequence}`,
      error,
    );
  }
}

/** The value at `path`, or undefined where there is none. */
export function tomlAt(table: unknown, ...path: readonly string[]): unknown {
  return path.reduce<unknown>(
    (node, key) => (isTable(node) && Object.hasOwn(node, key) ? node[key] : undefined),
    table,
  );
}

export function isTable(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);
}
