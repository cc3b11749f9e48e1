import { describe, expect, test } from 'vitest';
import { type MembershipConfig, membershipSchema } from '../../../src/config/membership.ts';
import { createMembership } from '../../../src/swarm/membership/config.ts';
import { createLogger } from '../../../src/telemetry/log.ts';

const dependencies = {
  self: 'a:1',
  probe: async () => {},
  probeTimeoutMs: 1_000,
  logger: createLogger({ name: 'test', level: 'silent' }),
  environment: {},
};
const read = (section: object): MembershipConfig => membershipSchema.parse(section);

describe('the section p2p.membership', () => {
  test('says by default that there is no swarm', () => {
    expect(read({}).source).toBe('none');
    expect(createMembership(read({}), dependencies)).toBeUndefined();
  });

  test('with a static list has its members at once, with their roles', async () => {
    const config = read({ source: 'static', agents: ['b:1', 'a:1'], mirrors: ['[fd00::1]:2'], schedulers: ['s:3'] });
    const membership = createMembership(config, dependencies);
    expect(membership?.members()).toEqual([
      { id: '[fd00::1]:2', address: '[fd00::1]:2', zone: '', role: 'mirror' },
      { id: 'a:1', address: 'a:1', zone: '', role: 'agent' },
      { id: 'b:1', address: 'b:1', zone: '', role: 'agent' },
      { id: 's:3', address: 's:3', zone: '', role: 'scheduler' },
    ]);
    await membership?.close();
  });

  test('takes names and services for DNS', () => {
    expect(read({ source: 'dns', agents: ['agents.example:65001'], mirrors: ['_p2p._tcp.example'] }).source).toBe(
      'dns',
    );
  });

  test.each<[object, RegExp]>([
    [{ source: 'static' }, /source: static needs the members/],
    [{ source: 'dns' }, /source: dns needs the members/],
    [{ source: 'static', agents: ['a'] }, /is not host:port/],
    [{ source: 'static', agents: ['_p2p._tcp.example'] }, /is not host:port/],
    [{ source: 'dns', schedulers: ['example'] }, /is neither name:port nor _service\._tcp\.name/],
    [{ agents: ['a:1'] }, /counts only with source: static or dns/],
    [{ source: 'kubernetes', mirrors: ['a:1'] }, /counts only with source: static or dns/],
    [{ source: 'consul' }, /source/],
    [{ source: 'kubernetes', kubernetes: { namespace: 'Not/A/Name' } }, /namespace/],
    [{ source: 'kubernetes', kubernetes: { kubeconfig: 'relative' } }, /is not an absolute path/],
    [{ source: 'kubernetes', kubernetes: { kubeConfig: '/x' } }, /kubeConfig/],
  ])('%j is refused', (section, words) => {
    expect(() => read(section)).toThrow(words);
  });
});
