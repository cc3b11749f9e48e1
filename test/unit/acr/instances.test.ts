import { describe, expect, onTestFinished, test } from 'vitest';
import type { InstanceEndpoints } from '../../../src/acr/endpoints.ts';
import { AcrError } from '../../../src/acr/errors.ts';
import { Instances } from '../../../src/acr/instances.ts';
import type { KnownInstance } from '../../../src/acr/last-good.ts';
import { keptLog } from '../../harness/log-lines.ts';
import { ManualClock } from '../../harness/manual-clock.ts';

type Answers = Record<string, readonly string[] | Error>;

const endpoints = (hosts: readonly string[]): InstanceEndpoints => ({ hosts, warning: undefined });

async function started(answers: Answers, onDisk: readonly KnownInstance[] | Error = []) {
  const asked: string[] = [];
  const clock = new ManualClock();
  const kept = keptLog();
  const saved: (readonly KnownInstance[])[] = [];
  const instances = new Instances({
    ids: ['cri-a', 'cri-b'],
    authorization: 'accessKey',
    resolve: async (id) => {
      asked.push(id);
      const answer = answers[id] ?? [];
      if (answer instanceof Error) throw answer;
      return endpoints(answer);
    },
    lastGood: {
      read: async () => {
        if (onDisk instanceof Error) throw onDisk;
        return onDisk;
      },
      write: async (known) => {
        saved.push(known);
      },
    },
    refreshInterval: 3600,
    clock,
    wallNow: () => clock.now(),
    log: kept.log,
  });
  onTestFinished(() => instances.close());
  await instances.start();
  return { instances, clock, saved, asked, lines: kept.lines };
}

const away = new AcrError('unavailable', 'cr.example: 503');

describe('the hosts of the instances', () => {
  test('are asked for at once, and again after the interval less up to a fifth', async () => {
    const { instances, clock } = await started({ 'cri-a': ['a1', 'a2'], 'cri-b': ['b'] });
    await clock.asleep();
    expect([...instances.hosts()]).toEqual(['a1', 'a2', 'b']);
    clock.chance = 0.999;
    await clock.next();
    await clock.asleep();
    expect(clock.sleeps).toEqual([3_600_000, expect.closeTo(2_880_720)]);
  });

  test('belong to their instance', async () => {
    const { instances, clock } = await started({ 'cri-a': ['a'], 'cri-b': ['b'] });
    await clock.asleep();
    expect([instances.instanceOf('a'), instances.instanceOf('b'), instances.instanceOf('c')]).toEqual([
      'cri-a',
      'cri-b',
      undefined,
    ]);
  });

  test('tell those who want to know of every change, and of nothing else', async () => {
    const answers: Answers = { 'cri-a': ['a'], 'cri-b': ['b'] };
    const { instances, clock } = await started(answers);
    await clock.asleep();
    const heard: string[][] = [];
    const end = instances.onChange(() => heard.push([...instances.hosts()]));
    await clock.next();
    await clock.asleep();
    answers['cri-b'] = ['b2'];
    await clock.next();
    await clock.asleep();
    end();
    answers['cri-b'] = ['b3'];
    await clock.next();
    await clock.asleep();
    expect(heard).toEqual([['a', 'b2']]);
  });

  test('stay through an outage, which is one line in the log, and come back from it', async () => {
    const answers: Answers = { 'cri-a': ['a'], 'cri-b': ['b'] };
    const { instances, clock, lines } = await started(answers);
    await clock.asleep();
    answers['cri-a'] = away;
    answers['cri-b'] = away;
    for (let round = 0; round < 4; round += 1) {
      await clock.next();
      await clock.asleep();
    }
    expect([...instances.hosts()]).toEqual(['a', 'b']);
    expect(instances.status().instances[0]).toEqual({ id: 'cri-a', hosts: ['a'], asOf: 0, problem: 'cr.example: 503' });
    expect(clock.sleeps.slice(1)).toEqual([2500, 5000, 10_000, 20_000]);
    expect(lines.filter((line) => line.instance === 'cri-a')).toHaveLength(1);
    answers['cri-a'] = ['a'];
    answers['cri-b'] = ['b'];
    await clock.next();
    await clock.asleep();
    expect(instances.status().instances.map(({ problem }) => problem)).toEqual([undefined, undefined]);
    expect(clock.sleeps.at(-1)).toBe(3_600_000);
  });

  test('of one instance do not wait for those of another', async () => {
    const { instances, clock } = await started({ 'cri-a': new AcrError('denied', 'no'), 'cri-b': ['b'] });
    await clock.asleep();
    expect([...instances.hosts()]).toEqual(['b']);
    expect(instances.status().instances.map(({ problem }) => problem)).toEqual(['no', undefined]);
  });

  test('are asked for once in a round where nobody answers: the others would wait in vain', async () => {
    const { instances, clock, asked } = await started({ 'cri-a': away, 'cri-b': ['b'] });
    await clock.asleep();
    expect(asked).toEqual(['cri-a']);
    expect(instances.status().instances.map(({ problem }) => problem)).toEqual(Array(2).fill('cr.example: 503'));
  });

  test('known from an earlier run count before the first answer, also without one', async () => {
    const known = [
      { id: 'cri-a', hosts: ['a'], asOf: 7 },
      { id: 'cri-of-old', hosts: ['old'], asOf: 7 },
    ];
    const { instances, clock } = await started({ 'cri-a': away, 'cri-b': away }, known);
    expect([...instances.hosts()]).toEqual(['a']);
    await clock.asleep();
    expect([...instances.hosts()]).toEqual(['a']);
    expect(instances.status().instances[0]).toMatchObject({ asOf: 7, problem: 'cr.example: 503' });
  });

  test('are kept for the next run', async () => {
    const { clock, saved } = await started({ 'cri-a': ['a'], 'cri-b': away });
    await clock.asleep();
    expect(saved).toEqual([[{ id: 'cri-a', hosts: ['a'], asOf: 0 }]]);
  });

  test('are asked for anew where the file is damaged', async () => {
    const { instances, clock, lines } = await started({ 'cri-a': ['a'], 'cri-b': ['b'] }, new Error('damaged'));
    await clock.asleep();
    expect([...instances.hosts()]).toEqual(['a', 'b']);
    expect(lines[0]).toMatchObject({ cause: 'damaged' });
  });
});
