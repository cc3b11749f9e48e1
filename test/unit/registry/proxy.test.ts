import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createProxyRule, type Environment } from '../../../src/registry/proxy.ts';

const proxy = 'http://proxy.example.com:3128/';
const environment = { HTTPS_PROXY: proxy, HTTP_PROXY: 'http://plain.example.com/' };
const proxyFor = (env: Environment, url: string) => createProxyRule(env)(new URL(url));

describe('the proxy environment', () => {
  test.each<[Environment, string, string | undefined]>([
    [{}, 'https://ghcr.io/', undefined],
    [environment, 'https://ghcr.io/', proxy],
    [environment, 'http://ghcr.io/', 'http://plain.example.com/'],
    [{ https_proxy: 'proxy.example.com:3128' }, 'https://ghcr.io/', proxy],
    [{ HTTPS_PROXY: proxy, https_proxy: 'http://lower/' }, 'https://ghcr.io/', proxy],
    [{ HTTPS_PROXY: '', https_proxy: proxy }, 'https://ghcr.io/', proxy],
    [{ HTTPS_PROXY: 'https://user:pass@p/' }, 'https://ghcr.io/', 'https://user:pass@p/'],
  ])('%j sends %s through %s', (env, url, expected) => {
    expect(proxyFor(env, url)).toBe(expected);
  });

  test.each(['localhost:5000', '127.0.0.1', '127.8.9.1:5000', '[::1]:5000', 'LOCALHOST'])(
    'never sends %s, which is loopback, away',
    (host) => {
      expect(proxyFor(environment, `https://${host}/`)).toBeUndefined();
    },
  );

  test.each<[string, string, boolean]>([
    ['*', 'https://ghcr.io/', true],
    ['ghcr.io', 'https://ghcr.io/', true],
    ['ghcr.io', 'https://sub.ghcr.io/', true],
    ['ghcr.io', 'https://notghcr.io/', false],
    ['.ghcr.io', 'https://sub.ghcr.io/', true],
    ['.ghcr.io', 'https://ghcr.io/', false],
    ['*.ghcr.io', 'https://sub.ghcr.io/', true],
    ['*.ghcr.io', 'https://ghcr.io/', false],
    ['GHCR.io', 'https://ghcr.IO/', true],
    ['ghcr.io', 'https://ghcr.io./', true],
    ['ghcr.io:443', 'https://ghcr.io/', true],
    ['ghcr.io:5000', 'https://ghcr.io/', false],
    ['ghcr.io:5000', 'https://ghcr.io:5000/', true],
    ['10.0.0.0/8', 'https://10.1.2.3/', true],
    ['10.0.0.0/8', 'https://11.1.2.3/', false],
    ['10.0.0.0/8', 'https://10.example.com/', false],
    ['10.1.2.3', 'https://10.1.2.3/', true],
    ['10.1.2.3:5000', 'https://10.1.2.3/', false],
    ['fd00::/8', 'https://[fd12::1]/', true],
    ['fd00::/8', 'https://[fe12::1]/', false],
    ['fd00::1', 'https://[fd00:0::1]/', true],
    ['[fd00::1]:5000', 'https://[fd00::1]:5000/', true],
    ['10.0.0.0/8', 'https://[::ffff:10.1.2.3]/', true],
    [' a , , ghcr.io ', 'https://ghcr.io/', true],
  ])('NO_PROXY=%s for %s: direct is %s', (exceptions, url, direct) => {
    for (const name of ['NO_PROXY', 'no_proxy']) {
      expect(proxyFor({ ...environment, [name]: exceptions }, url)).toBe(direct ? undefined : proxy);
    }
  });

  test.each(['socks5://user:hunter2@p', 'http://[', 'ftp://hunter2'])(
    'with the unusable %s is refused by its name, without its value',
    (value) => {
      expect(() => createProxyRule({ HTTPS_PROXY: value })).toThrow(/HTTPS_PROXY: not a proxy's http or https URL/);
      expect(() => createProxyRule({ HTTPS_PROXY: value })).not.toThrow(/hunter2/);
    },
  );

  test('takes any NO_PROXY without failing', () => {
    const unit = fc.constantFrom('a', '1', '.', ':', '/', '*', ',', '[', ']', ' ', '%');
    fc.assert(
      fc.property(fc.string({ unit, maxLength: 40 }), (exceptions) => {
        const rule = createProxyRule({ HTTPS_PROXY: proxy, NO_PROXY: exceptions });
        for (const host of ['10.1.2.3', 'a.a', '[fd00::1]']) rule(new URL(`https://${host}:11/`));
      }),
      { numRuns: 300 },
    );
  });
});
