import { describe, expect, test } from 'vitest';
import { judgeAuthority, judgeCertificate, whyNone } from '../../../../src/cli/doctor/certificates.ts';
import { resolveConfig } from '../../../../src/config/load.ts';

const day = 24 * 3600 * 1000;
const now = Date.parse('2026-06-01T12:00:00Z');
const server = '1.3.6.1.5.5.7.3.1';
const client = '1.3.6.1.5.5.7.3.2';
const facts = {
  file: '/etc/shoal/tls.crt',
  from: now - day,
  to: now + 300 * day,
  usages: [server, client],
  names: ['node-1', '10.0.0.1'],
};
const levels = (changes: Partial<Parameters<typeof judgeCertificate>[0]>, id: string | undefined = 'node-1') =>
  Object.fromEntries(judgeCertificate({ ...facts, ...changes }, id, now).map(({ about, level }) => [about, level]));

test.each([
  [{}, 'ok'],
  [{ to: now + 15 * day }, 'ok'],
  [{ to: now + 13 * day }, 'warning'],
  [{ to: now - 1 }, 'problem'],
  [{ from: now + 1 }, 'problem'],
])('the validity of %j is %s', (changes, level) => {
  expect(levels(changes).validity).toBe(level);
});

test('a certificate that begins in the future may be a clock that is behind', () => {
  const [validity] = judgeCertificate({ ...facts, from: now + day }, 'node-1', now);
  expect(validity?.says).toContain("by this node's clock it is 2026-06-01T12:00:00.000Z");
  expect(validity?.mend).toContain('timedatectl');
});

test.each([
  [[server, client], 'ok'],
  [undefined, 'ok'],
  [[server], 'problem'],
  [['1.3.6.1.5.5.7.3.4'], 'problem'],
])('the usages %j are %s', (usages, level) => {
  expect(levels({ usages }).usage).toBe(level);
});

test.each([
  ['node-1', 'ok'],
  ['Node-1', 'ok'],
  ['10.0.0.1:65001', 'ok'],
  ['node-2', 'warning'],
  ['10.0.0.2:65001', 'warning'],
])('for the node %s its names are %s', (id, level) => {
  expect(levels({}, id).name).toBe(level);
});

test('where the id of the node is not known nothing is said of names', () => {
  expect(judgeCertificate(facts, undefined, now).map(({ about }) => about)).toEqual(['validity', 'usage']);
});

test.each([
  [40, []],
  [20, ['warning']],
  [-1, ['problem']],
])('an authority with %i days left is %j', (days, expected) => {
  expect(judgeAuthority({ file: 'ca.crt', to: now + days * day }, now).map(({ level }) => level)).toEqual(expected);
});

describe('without certificates', () => {
  const why = (...set: string[]) => whyNone(resolveConfig({ env: {}, set }).config)?.level;
  const swarm = ['p2p.membership.source=static', 'p2p.membership.agents=10.0.0.1:65001'];

  test('a node of a swarm reaches nobody, and one on its own needs none', () => {
    expect(why()).toBe('skipped');
    expect(why(...swarm)).toBe('problem');
    expect(why(...swarm, 'p2p.tls=off')).toBe('skipped');
  });
});
