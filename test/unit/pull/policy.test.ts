import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createPolicy, optInLabel } from '../../../src/pull/policy.ts';

const image = (name: string) => {
  const slash = name.indexOf('/');
  return { registry: name.slice(0, slash), repository: name.slice(slash + 1) };
};

describe('the policy', () => {
  const policy = createPolicy({
    include: ['docker.io/*', '*.cr.aliyuncs.com/team-*/app', 'ghcr.io/one/image'],
    exclude: ['docker.io/secret/*'],
  });

  it.each([
    ['docker.io/library/nginx', true, 'registries.include: docker.io/*'],
    ['docker.io/secret/thing', false, 'registries.exclude: docker.io/secret/*'],
    ['x.cn-hangzhou.cr.aliyuncs.com/team-a/app', true, 'registries.include: *.cr.aliyuncs.com/team-*/app'],
    ['x.cn-hangzhou.cr.aliyuncs.com/team-a/apps', false, 'no pattern of registries.include matches'],
    ['ghcr.io/one/image', true, 'registries.include: ghcr.io/one/image'],
    ['ghcr.io/one/image2', false, 'no pattern of registries.include matches'],
  ])('decides on %s and names the rule', (name, accelerate, rule) => {
    expect(policy.pull(image(name), undefined)).toEqual({ accelerate, rule });
  });

  it.each([
    ['a.cr.aliyuncs.com/team/app', ['a.cr.aliyuncs.com'], true, 'acrInstances'],
    ['docker.io/library/nginx', ['a.cr.aliyuncs.com'], false, 'not a host of acrInstances'],
    ['a.cr.aliyuncs.com/secret/app', ['a.cr.aliyuncs.com'], false, 'registries.exclude: */secret/*'],
    ['a.cr.aliyuncs.com/team/app', [], false, 'the hosts of acrInstances are not known yet'],
    ['docker.io/library/nginx', undefined, true, 'registries.include: *'],
  ])('of %s with the instance hosts %j', (name, hosts, accelerate, rule) => {
    const instanceHosts = () => hosts && new Set(hosts);
    const decide = createPolicy({ include: ['*'], exclude: ['*/secret/*'], instanceHosts });
    expect(decide.pull(image(name), undefined)).toEqual({ accelerate, rule });
  });

  it('matches as a glob whose star stands for any run of characters', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', '/', '.'), maxLength: 8 });
    const pattern = fc.string({ unit: fc.constantFrom('a', 'b', '/', '.', '*'), maxLength: 8 });
    fc.assert(
      fc.property(pattern, text, text, (glob, registry, repository) => {
        const expression = new RegExp(`^${glob.replaceAll('.', '\\.').replaceAll('*', '.*')}$`);
        const decision = createPolicy({ include: [glob], exclude: [] }).direct({ registry, repository });
        expect(decision.accelerate).toBe(expression.test(`${registry}/${repository}`));
      }),
      { numRuns: 2000 },
    );
  });

  it('stays linear on a pattern made to backtrack', () => {
    const hostile = createPolicy({ include: [`${'*a'.repeat(200)}*b`], exclude: [] });
    expect(hostile.direct({ registry: 'a'.repeat(5_000), repository: 'c' }).accelerate).toBe(false);
  });
});

describe('with accelerate: labelled', () => {
  const labelled = (failure?: string) =>
    createPolicy({
      accelerate: 'labelled',
      include: ['*'],
      exclude: ['reg.test/secret'],
      namespaces: { optsIn: (namespace) => namespace === 'fast', failure: () => failure },
    });
  const pod = (namespace: string, mode?: string) => ({
    namespace,
    labels: mode === undefined ? {} : { [optInLabel]: mode },
  });
  const app = image('reg.test/app');

  it.each([
    ['a labelled pod', pod('slow', 'p2p'), true, /^the pod's label/],
    ['a pod in a labelled namespace', pod('fast'), true, /^the namespace's label .*\(fast\)$/],
    ['neither', pod('slow'), false, /^neither the pod nor its namespace/],
    ['a pod that opts out of its labelled namespace', pod('fast', 'off'), false, /is not p2p$/],
    ['no pod', undefined, false, /no pod is named/],
  ])('decides on %s', (_, who, accelerate, rule) => {
    const decision = labelled().pull(app, who);
    expect(decision.accelerate).toBe(accelerate);
    expect(decision.rule).toMatch(rule);
  });

  it('lets the registries have the first word, and serves no request that belongs to no pull', () => {
    expect(labelled().pull(image('reg.test/secret'), pod('fast')).rule).toBe('registries.exclude: reg.test/secret');
    expect(labelled().direct(app).accelerate).toBe(false);
    expect(labelled().registry(app).accelerate).toBe(true);
  });

  it('says when it does not know', () => {
    expect(labelled('the API is away').pull(app, pod('slow')).rule).toMatch(/as far as is known \(the API is away\)$/);
  });

  it('explains rule by rule', () => {
    expect(labelled().explain(app, pod('fast'))).toEqual([
      { rule: 'registries.include: *', verdict: 'pass' },
      { rule: `the namespace's label ${optInLabel}: p2p (fast)`, verdict: 'yes' },
    ]);
    expect(labelled().explain(image('reg.test/secret'), pod('fast'))).toHaveLength(1);
  });
});
