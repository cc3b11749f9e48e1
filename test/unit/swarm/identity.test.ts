import { describe, expect, test } from 'vitest';
import { membershipSchema } from '../../../src/config/membership.ts';
import { identityOf } from '../../../src/swarm/identity.ts';

const facts = { hostName: 'Node-1', addresses: ['10.0.0.5', 'fd00::5', '127.0.0.1'] };
const port = 65001;
const identify = (section: object, more: object = {}) =>
  identityOf(membershipSchema.parse(section), { port, role: 'agent', configured: undefined, facts, ...more });

describe('who this node is', () => {
  test('is the entry of a static list that is one of its addresses, with its port', () => {
    const agents = ['10.0.0.4:65001', '10.0.0.5:7', '10.0.0.5:65001'];
    expect(identify({ source: 'static', agents }).id).toBe('10.0.0.5:65001');
    expect(identify({ source: 'static', agents: ['[fd00::5]:65001'] }).id).toBe('[fd00::5]:65001');
    expect(identify({ source: 'static', agents: ['node-1:65001'] }).id).toBe('node-1:65001');
  });

  test('is looked for among the entries of its own role', () => {
    const section = { source: 'static', agents: ['10.0.0.4:65001'], mirrors: ['10.0.0.5:65001'] };
    expect(identify(section, { role: 'mirror' }).id).toBe('10.0.0.5:65001');
    expect(() => identify(section)).toThrow(/no entry of p2p\.membership\.agents is an address of this machine/);
  });

  test('is the node of an agent and the pod of other roles in Kubernetes', () => {
    const pod = { ...facts, nodeName: 'worker-7', podName: 'shoal-mirror-0' };
    expect(identify({ source: 'kubernetes' }).id).toBe('node-1');
    expect(identify({ source: 'kubernetes' }, { facts: pod }).id).toBe('worker-7');
    expect(identify({ source: 'kubernetes' }, { facts: pod, role: 'mirror' }).id).toBe('shoal-mirror-0');
  });

  test('is its first address with DNS, and what p2p.id says before everything else', () => {
    expect(identify({ source: 'dns', agents: ['agents.test:65001'] }).id).toBe('10.0.0.5:65001');
    expect(identify({ source: 'static', agents: ['a:1'] }, { configured: 'a:1' })).toEqual({
      id: 'a:1',
      address: 'a:1',
    });
  });
});
