import { Option } from 'commander';

export type OutputFormat = 'text' | 'json';

/** `--output`: the same switch on every command that prints a result. */
export function outputOption(): Option {
  return new Option('--output <format>', 'how the result is printed').choices(['text', 'json']).default('text');
}

/** Writes a result to standard output: the text, or the value as JSON. */
export function print(format: OutputFormat, text: string, value: unknown): void {
  const body = format === 'json' ? JSON.stringify(value, null, 2) : text;
  process.stdout.write(body.endsWith('\n') || body === '' ? body : `${body}\n`);
}
