import type { FileChange } from './types.ts';

const contextLines = 3;
const nothing: readonly string[] = [];

/**
 * The change as a unified diff that patch(1) takes, in one hunk: what is the same at the start and at the end of both
 * texts is left out, up to three lines of context. Empty when nothing changes.
 */
export function unifiedDiff({ path, before, after }: FileChange): string {
  if (before === after) return '';
  const old = linesOf(before);
  const now = linesOf(after);
  let start = 0;
  while (start < old.length && start < now.length && old[start] === now[start]) start++;
  let tail = 0;
  while (tail < old.length - start && tail < now.length - start && old.at(-1 - tail) === now.at(-1 - tail)) tail++;
  const from = Math.max(0, start - contextLines);
  const trailing = Math.min(contextLines, tail);
  const [removed, added] = [old.slice(start, old.length - tail), now.slice(start, now.length - tail)];
  const span = (changed: readonly string[]): string => {
    const length = start - from + changed.length + trailing;
    return `${length === 0 ? from : from + 1},${length}`;
  };
  return [
    `--- ${before === undefined ? '/dev/null' : path}\n`,
    `+++ ${after === undefined ? '/dev/null' : path}\n`,
    `@@ -${span(removed)} +${span(added)} @@\n`,
    ...old.slice(from, start).map((line) => diffLine(' ', line)),
    ...removed.map((line) => diffLine('-', line)),
    ...added.map((line) => diffLine('+', line)),
    ...old.slice(old.length - tail, old.length - tail + trailing).map((line) => diffLine(' ', line)),
  ].join('');
}

/** Lines with their line feeds. */
function linesOf(text: string | undefined): readonly string[] {
  return text?.match(/[^\n]*\n|[^\n]+$/g) ?? nothing;
}

function diffLine(sign: string, line: string): string {
  return line.endsWith('\n') ? sign + line : `${sign}${line}\n\\ No newline at end of file\n`;
}
