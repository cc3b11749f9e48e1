import { setImmediate } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { contextOf } from '../../../../src/cli/doctor/doctor.ts';
import { splitMend } from '../../../../src/cli/doctor/findings.ts';
import { countLevels, describeReport, wrap } from '../../../../src/cli/doctor/report.ts';
import { runChecks } from '../../../../src/cli/doctor/run.ts';
import type { Check, Finding } from '../../../../src/cli/doctor/types.ts';
import { resolveConfig } from '../../../../src/config/load.ts';

const context = (isRoot = true) =>
  contextOf({
    config: resolveConfig({ env: {} }).config,
    root: '/',
    isRoot,
    registries: [],
    environment: {},
    agent: { hidden: false, peers: [] },
    now: Date.now,
  });
const fine: Finding = { about: 'thing', level: 'ok', says: 'fine' };
const check = (more: Partial<Check>): Check => ({
  group: 'disk',
  about: 'thing',
  boundMs: 5_000,
  run: async () => [fine],
  ...more,
});

describe('the checks', () => {
  test('come in the order of the groups, and a group without findings is left out', async () => {
    const groups = await runChecks(
      [check({ group: 'peers' }), check({ group: 'clock', run: async () => [] }), check({ group: 'kubelet' })],
      context(),
    );
    expect(groups).toEqual([
      { group: 'kubelet', findings: [fine] },
      { group: 'peers', findings: [fine] },
    ]);
  });

  test('that never end are not waited for beyond their bound, and the others are told all the same', async () => {
    const groups = await runChecks([check({ boundMs: 20, run: () => new Promise(() => {}) }), check({})], context());
    expect(groups[0]?.findings).toMatchObject([
      { level: 'warning', says: expect.stringContaining('did not end') },
      fine,
    ]);
  });

  test('that ask other machines begin when those of this one are done', async () => {
    const begun: string[] = [];
    const noted = (about: string, remote: boolean) =>
      check({
        about,
        ...(remote && { remote }),
        run: async () => {
          begun.push(about);
          await setImmediate();
          begun.push(`${about} done`);
          return [fine];
        },
      });
    await runChecks([noted('far', true), noted('near', false), noted('also near', false)], context());
    expect(begun).toEqual(['near', 'also near', 'near done', 'also near done', 'far', 'far done']);
  });

  test('that fail say why, and ask for root where that would have helped', async () => {
    const refused = Object.assign(new Error('EACCES: permission denied, open x'), { code: 'EACCES' });
    const failing = (error: Error) => [check({ run: () => Promise.reject(error) })];
    const level = async (error: Error, isRoot: boolean) => {
      const groups = await runChecks(failing(error), context(isRoot));
      return groups[0]?.findings[0]?.level;
    };
    expect(await level(refused, false)).toBe('skipped');
    expect(await level(new Error('outer', { cause: refused }), false)).toBe('skipped');
    expect(await level(refused, true)).toBe('warning');
    expect(await level(new Error('anything'), false)).toBe('warning');
  });
});

describe('the report', () => {
  const groups = [
    {
      group: 'disk',
      findings: [
        {
          about: 'free space',
          level: 'problem',
          says: 'there is none at all on this disk, and there was none before',
          mend: 'rm -rf a very long command that has to stay in one piece\nand a second line',
        },
        { about: 'O_DIRECT', level: 'ok', says: 'yes' },
      ],
    },
    { group: 'peers', findings: [{ about: 'other nodes', level: 'skipped', says: 'needs root: x' }] },
  ] as const;

  test('has a line for each finding, wraps what it says and not the mend, and ends with the sum', () => {
    expect(describeReport(groups, 60)).toBe(
      [
        'disk',
        '  PROBLEM  free space   there is none at all on this disk, and',
        '                        there was none before',
        '      mend: rm -rf a very long command that has to stay in one piece',
        '            and a second line',
        '  ok       O_DIRECT     yes',
        'peers',
        '  skipped  other nodes  needs root: x',
        '',
        '1 problem (1 ok, 1 skipped)',
      ].join('\n'),
    );
  });

  test('says when nothing is wrong', () => {
    const right = [{ group: 'disk', findings: [fine, fine] }] as const;
    expect(describeReport(right)).toMatch(/\n\nnothing wrong was found \(2 ok\)$/);
    expect(countLevels(groups)).toEqual({ ok: 1, warning: 0, problem: 1, skipped: 1 });
  });

  test('a word that is longer than the line stays whole', () => {
    expect(wrap('a bb https://a.very.long.example/address c', 10)).toEqual([
      'a bb',
      'https://a.very.long.example/address',
      'c',
    ]);
  });
});

test.each([
  ['it is open. Remove it, then go on', { says: 'it is open', mend: 'Remove it, then go on' }],
  ['it ended. `shoal certs issue` makes one', { says: 'it ended', mend: '`shoal certs issue` makes one' }],
  ['a.b.c is wrong', { says: 'a.b.c is wrong', mend: 'otherwise' }],
])('%s has its mend apart', (message, expected) => {
  expect(splitMend(message, 'otherwise')).toEqual(expected);
});
