import { describe, expect, test } from 'vitest';
import { judgeClock } from '../../../../src/cli/doctor/clock.ts';
import { aheadOf } from '../../../../src/cli/doctor/date.ts';
import { dialFailure, judgeDials } from '../../../../src/cli/doctor/dials.ts';
import { chooseMembers } from '../../../../src/cli/doctor/peer-answers.ts';
import { judgeInstances, judgeRegistries } from '../../../../src/cli/doctor/registries.ts';
import { classify, registriesToAsk } from '../../../../src/cli/doctor/registry-answers.ts';
import type { Dialled, PeerAnswers, RegistryAnswer, RegistryOutcome } from '../../../../src/cli/doctor/types.ts';
import { resolveConfig } from '../../../../src/config/load.ts';

const answer = (outcome: RegistryOutcome, more: Partial<RegistryAnswer> = {}): RegistryAnswer => ({
  registry: 'reg.example',
  url: 'https://reg.example/v2/',
  implied: false,
  outcome,
  ...more,
});
const answered = (status: number, more: object = {}) => answer({ kind: 'answered', status, milliseconds: 12, ...more });
const failing = (code: string, message = code) => Object.assign(new Error(message), { code });

describe('which registries are asked', () => {
  const asked = (registries: string[], ...set: string[]) =>
    registriesToAsk({
      config: resolveConfig({ env: {}, set }).config,
      registries,
      agent: { hidden: false, peers: [] },
    });

  test('those that are named, else those of the configuration, else Docker Hub', () => {
    expect(asked(['Reg.Example', 'index.docker.io'])).toEqual({ names: ['reg.example', 'docker.io'], implied: false });
    const configured = [
      'registries.include=["a.example/team/*","*.b.example","c/*"]',
      'registries.hosts={"d.example:5000":{}}',
    ];
    expect(asked([], ...configured)).toEqual({ names: ['d.example:5000', 'a.example'], implied: false });
    expect(asked([])).toEqual({ names: ['docker.io'], implied: true });
  });

  test('a bounded number of them', () => {
    expect(asked(Array.from({ length: 50 }, (_, at) => `r${at}.example`)).names).toHaveLength(16);
  });
});

describe('where a request failed', () => {
  test.each([
    ['ENOTFOUND', {}, 'dns'],
    ['EAI_AGAIN', {}, 'dns'],
    ['ECONNREFUSED', {}, 'connect'],
    ['ETIMEDOUT', {}, 'connect'],
    ['UND_ERR_CONNECT_TIMEOUT', {}, 'connect'],
    ['CERT_HAS_EXPIRED', {}, 'tls'],
    ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', {}, 'tls'],
    ['ERR_TLS_CERT_ALTNAME_INVALID', {}, 'tls'],
    ['ERR_SSL_WRONG_VERSION_NUMBER', {}, 'tls'],
    ['ECONNREFUSED', { proxy: 'http://proxy:3128' }, 'proxy'],
    ['ENOTFOUND', { proxy: 'http://proxy:3128' }, 'proxy'],
    ['CERT_HAS_EXPIRED', { proxy: 'http://proxy:3128' }, 'tls'],
    ['ECONNREFUSED', { mirror: '10.0.0.9:65001' }, 'mirror'],
    ['CERT_HAS_EXPIRED', { mirror: '10.0.0.9:65001' }, 'tls'],
    ['HPE_INVALID_CONSTANT', {}, 'other'],
  ])('%s by %j is %s', (code, route, kind) => {
    const error = new Error(`GET https://reg.example/v2/: ${code}`, { cause: failing(code) });
    expect(classify(error, route)).toEqual({ kind, reason: code });
  });

  test('the failures of every address of a name count', () => {
    const all = new AggregateError([failing('ENETUNREACH'), failing('ECONNREFUSED')], '');
    expect(classify(new Error('GET x: y', { cause: all }), {}).kind).toBe('connect');
  });
});

describe('a registry', () => {
  test.each([
    [answered(200), 'ok'],
    [answered(401), 'ok'],
    [answered(403), 'warning'],
    [answered(404), 'warning'],
    [answered(302), 'warning'],
    [answered(407), 'problem'],
    [answered(429), 'warning'],
    [answered(500), 'problem'],
    [answered(503), 'problem'],
    [answer({ kind: 'dns', reason: 'ENOTFOUND' }), 'problem'],
    [answer({ kind: 'connect', reason: 'ECONNREFUSED' }), 'problem'],
    [answer({ kind: 'tls', reason: 'expired' }), 'problem'],
    [answer({ kind: 'proxy', reason: '403' }, { via: 'proxy http://proxy:3128' }), 'problem'],
    [answer({ kind: 'other', reason: 'garbage' }), 'problem'],
    [answer({ kind: 'dns', reason: 'ENOTFOUND' }, { implied: true }), 'warning'],
    [{ ...answered(503), implied: true }, 'warning'],
  ])('%j is %s', (given, level) => {
    const findings = judgeRegistries({ answers: [given] });
    expect(findings.map(({ level }) => level)).toEqual([level]);
    if (level !== 'ok') expect(findings[0]?.mend).toBeTruthy();
  });

  test('whose token server is out of reach serves no pull', () => {
    const tokenServer = { url: 'https://auth.example/token', failure: 'getaddrinfo ENOTFOUND auth.example' };
    const [, tokens] = judgeRegistries({ answers: [answered(401, { tokenServer })] });
    expect(tokens).toMatchObject({ about: "reg.example's tokens", level: 'problem' });
    expect(tokens?.mend).toContain('auth.example');
  });

  test("takes the mend from the client's own words on trust", () => {
    const reason =
      "self-signed certificate; try another Node; if the registry's CA is a private one, name it in registries.hosts.<host>.caFile";
    expect(judgeRegistries({ answers: [answer({ kind: 'tls', reason })] })[0]).toMatchObject({
      says: 'no trust in https://reg.example/v2/: self-signed certificate',
      mend: 'if the registry\'s CA is a private one, name it in registries.hosts."reg.example".caFile',
    });
  });
});

test('ACR instances are told by what the engine knows of them', () => {
  const instance = { id: 'cri-1', hosts: ['a.cr.aliyuncs.com'], problem: undefined };
  const levels = (...parameters: Parameters<typeof judgeInstances>) =>
    judgeInstances(...parameters).map(({ level }) => level);
  expect(levels(0, [])).toEqual([]);
  expect(levels(1, [])).toEqual(['skipped']);
  expect(levels(1, [instance])).toEqual(['ok']);
  expect(levels(1, [{ ...instance, problem: 'no right; grant cr:Get' }])).toEqual(['warning']);
  expect(judgeInstances(1, [{ ...instance, hosts: [], problem: 'no right; grant cr:Get' }])).toMatchObject([
    { level: 'problem', mend: 'grant cr:Get' },
  ]);
});

describe('the clock', () => {
  const nodes = (...aheadMs: number[]): PeerAnswers => ({
    dials: aheadMs.map((each, at) => ({ id: `node-${at}`, address: `10.0.0.${at}:65001`, aheadMs: each })),
    ...{ members: aheadMs.length, tls: true, port: 65_001 },
  });

  test.each([
    [[0], 'ok'],
    [[-60_000], 'ok'],
    [[61_000], 'warning'],
    [[-900_001], 'problem'],
    // One registry's own clock is wrong.
    [[3_600_000, 400], 'ok'],
    [[], 'skipped'],
  ])('that differs from registries by %j ms is %s', (differences, level) => {
    const answers = differences.map((aheadMs) => answered(401, { aheadMs }));
    expect(judgeClock({ answers }, nodes()).map((finding) => finding.level)).toEqual([level]);
  });

  test.each([
    [[0, 300, -200], ['ok']],
    [[61_000], ['warning']],
    [[900_001, 900_002, 0], ['problem']],
    // Of two clocks that differ it is not known which is wrong.
    [
      [0, 3_600_000],
      ['ok', 'warning'],
    ],
    [
      [100, 3_600_000, 200],
      ['ok', 'warning'],
    ],
  ])('that differs from other nodes by %j ms is %j where no registry answers', (differences, levels) => {
    const findings = judgeClock({ answers: [] }, nodes(...differences));
    expect(findings.map(({ level }) => level)).toEqual(levels);
  });

  test('is believed to a registry before other nodes, which may be wrong as one', () => {
    const registry = answered(200, { aheadMs: 600_000 });
    expect(judgeClock({ answers: [registry] }, nodes(0, 0))).toMatchObject([{ level: 'warning', about: 'clock' }]);
    expect(judgeClock({ answers: [answered(200, { aheadMs: 0 })] }, nodes(0, -90_000))).toMatchObject([
      { level: 'ok' },
      { about: "other nodes' clocks", level: 'warning', says: expect.stringContaining('node-1 is 1 min 30 s ahead') },
    ]);
  });

  test('says in which direction it is off', () => {
    const says = (aheadMs: number) => judgeClock({ answers: [answered(200, { aheadMs })] }, nodes())[0]?.says;
    expect(says(120_000)).toContain('ahead of reg.example');
    expect(says(-120_000)).toContain('behind reg.example');
    expect(judgeClock({ answers: [] }, nodes(120_000))[0]?.says).toContain('ahead of node-0');
  });

  test('the whole seconds of a Date and the time of the answer are taken into account', () => {
    const date = 'Mon, 01 Jun 2026 12:00:00 GMT';
    const then = Date.parse(date);
    expect(aheadOf(date, then + 500, 0)).toBe(0);
    expect(aheadOf(date, then + 700, 400)).toBe(0);
    expect(aheadOf(date, then - 9_500, 0)).toBe(-10_000);
    expect(aheadOf(undefined, then, 0)).toBeUndefined();
    expect(aheadOf('yesterday', then, 0)).toBeUndefined();
  });
});

describe('a dial that failed', () => {
  const tls = { timedOut: false, tls: true };

  test.each([
    [failing('ECONNREFUSED'), tls, 'refused'],
    [failing('EHOSTUNREACH'), tls, 'unreachable'],
    [failing('ENOTFOUND'), tls, 'name'],
    [new Error('aborted'), { timedOut: true, tls: true }, 'silent'],
    [failing('ETIMEDOUT'), tls, 'silent'],
    [new Error('its certificate names node-9, not node-2 or 10.0.0.2'), tls, 'wrong-name'],
    [failing('CERT_HAS_EXPIRED'), tls, 'distrust'],
    [failing('UNABLE_TO_VERIFY_LEAF_SIGNATURE'), tls, 'distrust'],
    [failing('ERR_SSL_TLSV1_ALERT_UNKNOWN_CA'), tls, 'rejected'],
    [failing('ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED'), tls, 'rejected'],
    [failing('ECONNRESET'), tls, 'rejected'],
    [failing('ERR_SSL_WRONG_VERSION_NUMBER'), tls, 'not-tls'],
    [
      failing('ECONNRESET', 'Client network socket disconnected before secure TLS connection was established'),
      tls,
      'not-tls',
    ],
    [new Error('it closed the connection at once'), { timedOut: false, tls: false }, 'closed'],
    [new Error('something else'), tls, 'other'],
  ])('with %s is %o: %s', (error, circumstances, kind) => {
    expect(dialFailure(error, circumstances).kind).toBe(kind);
  });
});

describe('the other nodes', () => {
  const node = (at: number, kind?: 'refused' | 'silent' | 'wrong-name'): Dialled => ({
    id: `node-${at}`,
    address: `10.0.0.${at}:65001`,
    ...(kind && { failure: { kind, reason: 'why' } }),
  });

  test('that all answer are one line', () => {
    expect(judgeDials([node(1), node(2)], { members: 2, tls: true, port: 65_001 })).toEqual([
      { about: 'other nodes', level: 'ok', says: '2 of 2 answer with TLS' },
    ]);
  });

  test('of which some fail are a warning for each way of failing, with their names', () => {
    const findings = judgeDials([node(1), node(2, 'refused'), node(3, 'silent'), node(4, 'refused')], {
      members: 90,
      tls: true,
      port: 65_001,
    });
    expect(findings).toMatchObject([
      { level: 'ok', says: '1 of 4 (of 90) answer with TLS' },
      { level: 'warning', says: expect.stringContaining('2 of 4 (of 90) refuse the connection') },
      { level: 'warning', says: expect.stringContaining('node-3 (10.0.0.3:65001)') },
    ]);
    expect(findings[1]?.says).toContain('node-2 (10.0.0.2:65001), node-4 (10.0.0.4:65001)');
  });

  test('of which none answers are a problem of this one', () => {
    const dials = Array.from({ length: 9 }, (_, at) => node(at, 'silent'));
    const [finding, ...rest] = judgeDials(dials, { members: 9, tls: true, port: 7_000 });
    expect(rest).toEqual([]);
    expect(finding).toMatchObject({ level: 'problem' });
    expect(finding?.says).toContain('do not answer within 5 s');
    expect(finding?.mend).toContain('open tcp port 7000 ');
    expect(finding?.says).toMatch(/node-4 \(10\.0\.0\.4:65001\) and 4 more$/);
  });

  test('are dialled in a bounded number, those in doubt and the few first', () => {
    const agents = Array.from({ length: 100 }, (_, at) => ({ id: at, role: 'agent', suspect: false }) as const);
    const chosen = chooseMembers([
      ...agents,
      { id: 200, role: 'mirror', suspect: false },
      { id: 300, role: 'agent', suspect: true },
    ]);
    expect(chosen).toHaveLength(32);
    expect(chosen.slice(0, 2).map(({ id }) => id)).toEqual([300, 200]);
  });
});
