import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { commandEntries } from '../../../src/cli/command-tree.ts';
import { completionScript } from '../../../src/cli/completion.ts';
import { exitCodes } from '../../../src/cli/exit-codes.ts';
import { manPage } from '../../../src/cli/man-page.ts';
import { createProgram } from '../../../src/cli/program.ts';

const program = createProgram();
const entries = commandEntries(program);

/** What bash would offer after these words. */
function completed(...words: string[]): string[] {
  const script = `${completionScript(program, 'bash')}
COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')})
COMP_CWORD=$((\${#COMP_WORDS[@]} - 1))
_shoal
printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout, stderr, status } = spawnSync('bash', ['-c', script], { encoding: 'utf8' });
  expect(stderr).toBe('');
  expect(status).toBe(0);
  return stdout.split('\n').filter(Boolean);
}

describe('the completion of bash', () => {
  test('offers commands, their commands and their options', () => {
    expect(completed('shoal', 'ca')).toEqual(['cache']);
    expect(completed('shoal', 'cache', '')).toContain('verify');
    expect(completed('shoal', 'pulls', 'explain', '--s')).toEqual(['--set', '--svg']);
  });

  test('offers the values of an option', () => {
    expect(completed('shoal', 'status', '--output', '')).toEqual(['text', 'json']);
    expect(completed('shoal', 'runtime', 'configure', '--runtime', 'p')).toEqual(['podman']);
  });

  // A bash for each of them.
  test('knows every command and every option', { timeout: 60_000 }, () => {
    for (const { path, options } of entries) {
      const words = path.split(' ');
      expect(completed(...words)).toContain(words.at(-1));
      const offered = completed(...words, '--');
      for (const { long } of options) expect(offered).toContain(long);
    }
  });
});

test.each(['zsh', 'fish'] as const)('the completion of %s names every command and option', (shell) => {
  const script = completionScript(program, shell);
  for (const { path, options } of entries) {
    expect(script).toContain(path.split(' ').at(-1));
    for (const { long } of options) expect(script).toContain(shell === 'fish' ? `-l '${long?.slice(2)}'` : long);
  }
});

describe('the man page', () => {
  const page = manPage(program, '1.2.3');

  test('is read by man without a warning', () => {
    const read = spawnSync('man', ['--warnings=w', '-l', '-'], {
      input: page,
      encoding: 'utf8',
      env: { ...process.env, MANPAGER: 'cat', MANWIDTH: '200' },
    });
    expect(read.stderr).toBe('');
    expect(read.status).toBe(0);
    expect(read.stdout).toContain('shoal pulls explain <id>');
  });

  test('has every command with its options, and every exit code', () => {
    const roff = (text: string) => text.replaceAll('-', '\\-');
    for (const { usage, options } of entries) {
      const begin = page.indexOf(`.SS ${roff(usage)}\n`);
      expect(begin, usage).toBeGreaterThan(0);
      const section = page.slice(begin, page.indexOf('\n.S', begin + 3));
      for (const { flags } of options) expect(section).toContain(`.B ${roff(flags)}\n`);
    }
    for (const code of Object.values(exitCodes)) expect(page).toContain(`.B ${code}\n`);
  });
});
