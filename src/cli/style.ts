import { styleText } from 'node:util';

type Style = Parameters<typeof styleText>[0];

/**
 * Text for standard output in a colour, where that is a terminal; `NO_COLOR` and `FORCE_COLOR` have the last word
 * (https://no-color.org).
 */
export function styled(style: Style, text: string): string {
  return styleText(style, text, { stream: process.stdout, validateStream: true });
}

/** Columns of the terminal; 100 where there is none. */
export function terminalWidth(): number {
  return process.stdout.columns ?? 100;
}
