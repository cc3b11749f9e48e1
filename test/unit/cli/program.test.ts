import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import { exitCodes } from '../../../src/cli/exit-codes.ts';
import { createProgram } from '../../../src/cli/program.ts';
import { packageRoot } from '../../../src/paths.ts';

/** `shoal config check` and the like: the commands that do something and that help shows. */
function commandsOf(command: Command, name = command.name()): { name: string; command: Command }[] {
  const visible = command.createHelp().visibleCommands(command);
  const own = visible.filter((child) => child.name() !== 'help');
  if (own.length === 0) return [{ name, command }];
  return own.flatMap((child) => commandsOf(child, `${name} ${child.name()}`));
}

const commands = commandsOf(createProgram());

describe('docs/cli.md', async () => {
  const document = await readFile(path.join(packageRoot, 'docs/cli.md'), 'utf8');

  test('lists the commands that there are', () => {
    const listed = [...document.matchAll(/^\| `(shoal [a-z -]+)/gm)].map(([, name]) => name?.trim());
    expect(listed).toEqual(commands.map(({ name }) => name));
  });

  test('shows every option of shoal runtime configure that is its own', () => {
    const configure = commands.find(({ name }) => name === 'shoal runtime configure');
    const common = ['--config', '--set', '--output'];
    const options = configure?.command.options.map(({ long }) => long).filter((long) => !common.includes(long ?? ''));
    expect(options).not.toHaveLength(0);
    const usage = /```\nshoal runtime configure[\s\S]*?```/.exec(document)?.[0] ?? '';
    expect([...usage.matchAll(/--[a-z-]+/g)].map(([option]) => option).sort()).toEqual(options?.sort());
  });

  test('lists the exit codes that there are', () => {
    const listed = [...document.matchAll(/^\| (\d+) \|/gm)].map(([, code]) => Number(code));
    expect(listed).toEqual(Object.values(exitCodes));
  });
});

test.each(commands.filter(({ name }) => !/agent|mirror|scheduler|schema|completion|man$/.test(name)))(
  '$name can print JSON',
  ({ command }) => {
    expect(command.options.find(({ long }) => long === '--output')?.argChoices).toEqual(['text', 'json']);
  },
);

test.each(commands)('$name says what it does', ({ command }) => {
  expect(command.description()).not.toBe('');
});
