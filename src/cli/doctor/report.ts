import { styled, terminalWidth } from '../style.ts';
import type { GroupReport } from './run.ts';
import type { Finding, Level } from './types.ts';

export type Counts = Readonly<Record<Level, number>>;

const words = { ok: 'ok', warning: 'warning', problem: 'PROBLEM', skipped: 'skipped' } as const;
const colours = { ok: 'green', warning: 'yellow', problem: 'red', skipped: 'dim' } as const;
const levelWidth = Math.max(...Object.values(words).map(({ length }) => length));
/** Narrower than this a text would stand in a column of a word or two. */
const leastText = 40;
const mendIndent = ' '.repeat('      mend: '.length);

export function countLevels(groups: readonly GroupReport[]): Counts {
  const counts = { ok: 0, warning: 0, problem: 0, skipped: 0 };
  for (const { level } of groups.flatMap(({ findings }) => findings)) counts[level] += 1;
  return counts;
}

/** What `shoal doctor` prints: a line for each finding, its mend below, and the sum at the end, where one looks first. */
export function describeReport(groups: readonly GroupReport[], width = terminalWidth()): string {
  const aboutWidth = Math.max(...groups.flatMap(({ findings }) => findings.map(({ about }) => about.length)), 0);
  const lines = groups.flatMap(({ group, findings }) => [
    styled('bold', group),
    ...findings.flatMap((finding) => describeFinding(finding, aboutWidth, width)),
  ]);
  return [...lines, '', summary(countLevels(groups))].join('\n');
}

function describeFinding({ about, level, says, mend }: Finding, aboutWidth: number, width: number): string[] {
  const indent = 2 + levelWidth + 2 + aboutWidth + 2;
  const room = Math.max(leastText, width - indent);
  const head = `  ${styled(colours[level], words[level].padEnd(levelWidth))}  ${about.padEnd(aboutWidth)}  `;
  const [first = '', ...rest] = wrap(says, room);
  // Not wrapped: a command has to come out in one piece when it is copied.
  const mends = (mend ?? '').split('\n').map((line, at) => `${at === 0 ? '      mend: ' : mendIndent}${line}`);
  return [
    `${head}${first}`,
    ...rest.map((line) => `${' '.repeat(indent)}${line}`),
    ...(mend === undefined ? [] : mends.map((line) => styled('bold', line))),
  ];
}

/** Lines of at most `width` characters, broken at spaces; a longer word stays whole, so that it can be copied. */
export function wrap(text: string, width: number): string[] {
  return text.split('\n').flatMap((paragraph) => {
    const lines: string[] = [];
    let line = '';
    for (const word of paragraph.split(' ')) {
      if (line !== '' && line.length + 1 + word.length > width) {
        lines.push(line);
        line = word;
      } else line = line === '' ? word : `${line} ${word}`;
    }
    return [...lines, line];
  });
}

function summary({ ok, warning, problem, skipped }: Counts): string {
  const counted = (count: number, word: string) => (count === 0 ? [] : [`${count} ${word}${count === 1 ? '' : 's'}`]);
  const bad = [...counted(problem, 'problem'), ...counted(warning, 'warning')];
  const rest = [`${ok} ok`, ...(skipped === 0 ? [] : [`${skipped} skipped`])].join(', ');
  const colour = problem > 0 ? 'red' : warning > 0 ? 'yellow' : 'green';
  return `${styled(colour, bad.length === 0 ? 'nothing wrong was found' : bad.join(', '))} (${rest})`;
}
