import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ConfigError, type Finding, formatFinding } from '../../../src/config/errors.ts';
import { resolveConfig } from '../../../src/config/load.ts';

type Sources = Partial<Parameters<typeof resolveConfig>[0]>;

const file = '/etc/shoal/config.yaml';

function load(text: string, sources: Sources = {}) {
  return resolveConfig({ env: {}, document: { file, text }, ...sources });
}

function findings(text: string, sources: Sources = {}): readonly Finding[] {
  try {
    load(text, sources);
  } catch (error) {
    if (error instanceof ConfigError) return error.findings;
    throw error;
  }
  return [];
}

function only(text: string, sources: Sources = {}): string {
  const found = findings(text, sources).map(formatFinding);
  expect(found).toHaveLength(1);
  return found[0] ?? '';
}

describe('values', () => {
  test('come from the defaults, the file, the environment and flags, each over the one before', () => {
    const text = 'mirror: {port: 1, firstByteTimeout: 1, stallTimeout: 1}';
    const { mirror } = load(text, {
      env: { SHOAL_MIRROR_FIRST_BYTE_TIMEOUT: '2', SHOAL_MIRROR_STALL_TIMEOUT: '2' },
      set: ['mirror.stallTimeout=3'],
    }).config;
    expect(mirror).toEqual({ port: 1, firstByteTimeout: 2, stallTimeout: 3, pathFormSessions: 'auto' });
  });

  test('the later of two flags for one key wins', () => {
    expect(load('', { set: ['mirror.port=1', 'mirror.port=2'] }).config.mirror.port).toBe(2);
  });

  test.each(['', '# nothing but a comment\n', '{}', '---\n'])('an empty file is all defaults: %j', (text) => {
    expect(load(text).config).toEqual(resolveConfig({ env: {} }).config);
  });

  test("the cache's defaults follow its mode, as in the appendix of ACR's agent", () => {
    expect(load('').config.p2p.v2.cache).toEqual({
      mode: 'disk',
      blocksize: 256,
      capacity: 4_294_967_296,
      optionBlockSize: 67_108_864,
      memoryCacheCapacityGB: 1,
      aio: 1,
      cacheTTL: 0,
    });
    expect(load('p2p: {v2: {cache: {mode: memory}}}').config.p2p.v2.cache).toMatchObject({
      capacity: 0,
      optionBlockSize: 8_589_934_592,
      memoryCacheCapacityGB: 8,
    });
  });

  test('lists are written with commas or in brackets outside of the file', () => {
    const env = { SHOAL_REGISTRIES_INCLUDE: 'docker.io/library/*, quay.io/*' };
    const { include, exclude } = load('', { env, set: ['registries.exclude=["a/*", "b/*"]'] }).config.registries;
    expect(include).toEqual(['docker.io/library/*', 'quay.io/*']);
    expect(exclude).toEqual(['a/*', 'b/*']);
  });

  test('maps are written as YAML in braces outside of the file', () => {
    const { hosts } = load('', { set: ['registries.hosts={"a.example:5000": {plainHttp: true}}'] }).config.registries;
    expect(hosts).toEqual({ 'a.example:5000': { plainHttp: true } });
  });

  test('text stays text, also when it looks like a number', () => {
    expect(only('', { set: ['stateDir=1'] })).toContain('"1" is not an absolute path');
  });

  test('origins name the default, the place in the file, the variable and the flag', () => {
    const loaded = load('mirror:\n  port: 1\n', { env: { SHOAL_LOG_LEVEL: 'warn' }, set: ['runDir=/run/x'] });
    const origin = (...path: string[]): string =>
      loaded.originOf({ path, name: '', variable: '', kind: 'text', allowed: '', default: '', description: '' });
    expect(origin('mirror', 'port')).toBe(`${file}:2:9`);
    expect(origin('log', 'level')).toBe('environment variable SHOAL_LOG_LEVEL');
    expect(origin('runDir')).toBe('--set runDir');
    expect(origin('stateDir')).toBe('default');
  });
});

describe('a mistake in the file', () => {
  test('is told with line and column, what was meant and what is allowed', () => {
    const message = only('mirror:\n  prt: 3\n');
    expect(message).toMatch(/^\/etc\/shoal\/config\.yaml:2:3: mirror\.prt: unknown key; did you mean port\?/);
    expect(message).toContain('Allowed here: port, firstByteTimeout, stallTimeout, pathFormSessions');
  });

  test.each([
    ['transfer_timeout: 3', 'p2p.transferTimeout'],
    ['port: 3', 'mirror.port'],
    ['Log: {}', 'log'],
    ['p2p: {v2: {cache: {memorycachecapacityGb: 1}}}', 'memoryCacheCapacityGB'],
  ])('%s: the key that was meant is found', (text, meant) => {
    expect(only(text)).toContain(`did you mean ${meant}?`);
  });

  test('no key is proposed where none is near', () => {
    expect(only('completelyDifferent: 1')).not.toContain('did you mean');
  });

  test('everything that is wrong is told at once, in the order of the file', () => {
    const text = ['mirror:', '  port: 0', '  stallTimeout: no', 'log: {level: loud}', 'lsiten: /x'].join('\n');
    expect(findings(text).map(({ where, key }) => `${where} ${key}`)).toEqual([
      `${file}:2:9 mirror.port`,
      `${file}:3:17 mirror.stallTimeout`,
      `${file}:4:14 log.level`,
      `${file}:5:1 lsiten`,
    ]);
  });

  test.each([
    ['mirror: {port: 70000}', '70000 is too large; allowed: an integer from 1 up to 65535'],
    ['mirror: {port: 1.5}', '1.5 is not allowed here; allowed: an integer from 1 up to 65535'],
    ['mirror: {port: "65002"}', 'Leave the quotes out'],
    ['mirror: {stallTimeout: 0}', '0 is too small; allowed: a number above 0 and up to 3600'],
    ['mirror:', 'has no value; allowed: a section with the keys port'],
    ['mirror: [1]', 'a list is not allowed here; allowed: a section with the keys port'],
    ['log: {level: inof}', 'allowed: one of fatal, error, warn, info, debug, trace, silent. Did you mean info?'],
    ['p2p: {v2: {cache: {aio: 2}}}', 'allowed: one of 0, 1'],
    ['p2p: {v2: {cache: {blocksize: 100}}}', '100 is not a power of two'],
    ['registries: {include: docker.io}', 'allowed: a list of texts'],
    ['registries: {hosts: {"http://a": {}}}', 'is not a host[:port]'],
    ['registries: {hosts: {a: {caFile: ca.pem}}}', '"ca.pem" is not an absolute path'],
    ['registries: {hosts: {a: {plainHttp: 1}}}', 'allowed: true or false'],
    ['registries: {hosts: {a: {plainHTTPS: true}}}', 'did you mean plainHttp?'],
    ['listen: shoal.sock', 'is not an absolute path'],
    [`listen: /${'x'.repeat(107)}`, "longer than a socket's path may be: 107 bytes"],
    ['runtimeEndpoint: tcp://1.2.3.4:5', 'is not a unix:///path endpoint'],
    [`runDir: /${'x'.repeat(64)}`, 'at most 64 bytes'],
    ['- a\n- b', 'a list is not allowed here'],
    ['just text', 'a section with the keys listen'],
  ])('%s is refused with the reason', (text, message) => {
    expect(only(text)).toContain(message);
  });

  test.each([
    ['memory mode with a disk tier', 'mode: memory, capacity: 1', 'contradicts mode: memory'],
    ['a disk tier that is too small', 'capacity: 1', 'too few for a disk tier'],
    ['a memory tier above its ceiling', 'optionBlockSize: 2147483648', 'exceed memoryCacheCapacityGB: 1'],
  ])('%s is a contradiction that stops the start', (_, cache, message) => {
    expect(only(`p2p: {v2: {cache: {${cache}}}}`)).toContain(message);
  });

  test("Shoal's own socket as the runtime's is refused: it would call itself", () => {
    expect(only('listen: /run/containerd/containerd.sock')).toContain('forward every call to itself');
  });
});

describe('a file that is no sound YAML', () => {
  test.each([
    ['a key twice', 'mirror: {}\nmirror: {}', `${file}:2:1: this key stands here twice`],
    ['two documents', 'mirror: {}\n---\nlog: {}', 'a second YAML document starts here'],
    ['an open bracket', 'registries: {include: [', 'not valid YAML'],
    ['a foreign tag', 'log: !!js/function x', 'Unresolved tag'],
    ['an alias of nothing', 'log: *x', 'Unresolved alias'],
    ['brackets a thousand deep', '['.repeat(1000), 'nested more than 64 levels deep'],
    ['too many bytes', `# ${'x'.repeat(300_000)}`, 'larger than a configuration may be'],
  ])('%s is refused', (_, text, message) => {
    const [first] = findings(text);
    expect(first && formatFinding(first)).toContain(message);
  });

  test('dashes ten thousand deep neither hang nor crash', () => {
    expect(findings('- '.repeat(10_000))).not.toHaveLength(0);
  });

  test('an alias bomb is refused before it unfolds', () => {
    const bomb = ['a: &a [x,x,x,x,x,x,x,x,x,x]'];
    for (const [name, of] of ['ba', 'cb', 'dc', 'ed', 'fe', 'gf', 'hg'].map((pair) => [...pair] as [string, string])) {
      bomb.push(`${name}: &${name} [${Array(10).fill(`*${of}`).join(',')}]`);
    }
    expect(only(bomb.join('\n'))).toContain('Excessive alias count');
  });

  test('keys with a meaning in JavaScript are unknown keys and change nothing', () => {
    expect(only('__proto__: {level: warn}')).toContain('__proto__: unknown key');
    expect(Object.hasOwn(Object.prototype, 'level')).toBe(false);
  });

  test('any text either loads or is refused with findings', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'ab:-[]{}&*#!|>\'" \n\t1'), maxLength: 60 }), (text) => {
        expect(() => findings(text)).not.toThrow();
      }),
    );
  });
});

describe('environment variables', () => {
  test('a misspelt one is refused, with the one that was meant', () => {
    expect(only('', { env: { SHOAL_MIRROR_PROT: '1' } })).toContain('did you mean SHOAL_MIRROR_PORT?');
  });

  test('a wrong value names the variable and the key', () => {
    expect(only('', { env: { SHOAL_P2P_V2_CACHE_CAPACITY: 'lots' } })).toMatch(
      /^environment variable SHOAL_P2P_V2_CACHE_CAPACITY: p2p\.v2\.cache\.capacity: "lots" is not allowed here/,
    );
  });

  test('the value of an unknown one is not repeated: it may be a secret', () => {
    expect(only('', { env: { SHOAL_PASSWORD: 'hunter2' } })).not.toContain('hunter2');
  });

  test("reserved ones and other programs' are left alone", () => {
    const env = { SHOAL_CONFIG: file, SHOAL_ENTRY: 'x', SHOAL_CONTAINERD: '', SHOALS: '1', PATH: '/bin' };
    expect(findings('', { env })).toEqual([]);
  });

  test('what Kubernetes adds for a Service called shoal-mirror is left alone', () => {
    const env = {
      SHOAL_MIRROR_SERVICE_HOST: '10.0.0.1',
      SHOAL_MIRROR_SERVICE_PORT: '80',
      SHOAL_MIRROR_SERVICE_PORT_HTTP: '80',
      SHOAL_MIRROR_PORT: 'tcp://10.0.0.1:80',
      SHOAL_MIRROR_PORT_80_TCP: 'tcp://10.0.0.1:80',
      SHOAL_MIRROR_PORT_80_TCP_PROTO: 'tcp',
      SHOAL_MIRROR_PORT_80_TCP_ADDR: '10.0.0.1',
    };
    expect(load('', { env }).config.mirror.port).toBe(65002);
  });
});

describe('--set', () => {
  test.each([
    ['mirror.prot=1', 'did you mean mirror.port?'],
    ['mirror=1', 'is a section; set one of mirror.port'],
    ['registries.hosts.a.plainHttp=true', 'set all of registries.hosts'],
    ['mirror.port', 'write --set key=value'],
    ['mirror.port=', 'has no value'],
    ['mirror.port=[', 'is not valid'],
    ['mirror.port=99999', '--set mirror.port: 99999 is too large'],
  ])('%s is refused with the reason', (assignment, message) => {
    expect(only('', { set: [assignment] })).toContain(message);
  });

  test('does not hide that a section of the file is none', () => {
    expect(only('mirror: 5', { set: ['mirror.port=1'] })).toContain('5 is not allowed here');
  });
});
