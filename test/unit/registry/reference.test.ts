import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  formatImageReference,
  isDigest,
  parseImageReference,
  parseRegistry,
  parseRepository,
  parseTagOrDigest,
} from '../../../src/registry/reference.ts';
import { type ImageReference, RegistryError } from '../../../src/registry/types.ts';

const digest = `sha256:${'0123456789abcdef'.repeat(4)}`;

const alphanumeric = fc.stringMatching(/^[a-z0-9]{1,8}$/);
const component = fc.stringMatching(/^[a-z0-9]{1,6}(?:(?:\.|_|__|-{1,3})[a-z0-9]{1,6}){0,2}$/);
const registries = fc.oneof(
  fc.tuple(alphanumeric, fc.constantFrom('com', 'local', 'io')).map((labels) => labels.join('.')),
  fc
    .tuple(alphanumeric, fc.constantFrom('de', 'cn'), fc.integer({ min: 1, max: 65535 }))
    .map(([a, b, p]) => `${a}.${b}:${p}`),
  fc.constantFrom('docker.io', 'localhost', 'localhost:5000', '127.0.0.1:5000', '[::1]', '[2001:db8::2]:443'),
);
const references: fc.Arbitrary<ImageReference> = fc
  .record({
    registry: registries,
    components: fc.array(component, { minLength: 2, maxLength: 4 }),
    version: fc.oneof(
      fc.record({ tag: fc.stringMatching(/^\w[\w.-]{0,20}$/) }),
      fc.record({ digest: fc.constant(digest) }),
      fc.record({ tag: fc.stringMatching(/^\w[\w.-]{0,20}$/), digest: fc.constant(digest) }),
    ),
  })
  .map(({ registry, components, version }) => ({ registry, repository: components.join('/'), ...version }));

describe('an image reference', () => {
  test.each<[string, ImageReference]>([
    ['nginx', { registry: 'docker.io', repository: 'library/nginx', tag: 'latest' }],
    ['nginx:1.27', { registry: 'docker.io', repository: 'library/nginx', tag: '1.27' }],
    ['grafana/grafana', { registry: 'docker.io', repository: 'grafana/grafana', tag: 'latest' }],
    ['docker.io/nginx', { registry: 'docker.io', repository: 'library/nginx', tag: 'latest' }],
    ['index.docker.io/library/nginx', { registry: 'docker.io', repository: 'library/nginx', tag: 'latest' }],
    ['ghcr.io/nginx', { registry: 'ghcr.io', repository: 'nginx', tag: 'latest' }],
    ['localhost/a', { registry: 'localhost', repository: 'a', tag: 'latest' }],
    ['localhost:5000/a:v1', { registry: 'localhost:5000', repository: 'a', tag: 'v1' }],
    ['10.0.0.1/a/b/c', { registry: '10.0.0.1', repository: 'a/b/c', tag: 'latest' }],
    ['[::1]:5000/a:v1', { registry: '[::1]:5000', repository: 'a', tag: 'v1' }],
    ['Registry.Example.com/a', { registry: 'registry.example.com', repository: 'a', tag: 'latest' }],
    [`busybox@${digest}`, { registry: 'docker.io', repository: 'library/busybox', digest }],
    [`quay.io/a/b:v1@${digest}`, { registry: 'quay.io', repository: 'a/b', tag: 'v1', digest }],
    ['a__b/c---d.e_f', { registry: 'docker.io', repository: 'a__b/c---d.e_f', tag: 'latest' }],
  ])('%s means its registry, repository and version', (text, expected) => {
    expect(parseImageReference(text)).toEqual(expected);
  });

  test.each([
    ['', /empty/],
    ['/nginx', /registry before the first \/ is empty/],
    ['ghcr.io/', /repository "" is empty/],
    ['nginx:', /tag ""/],
    ['nginx:.v1', /tag "\.v1"/],
    [`nginx:${'x'.repeat(129)}`, /1 to 128/],
    ['nginx@sha256:12', /64 lower-case hex digits/],
    [`nginx@sha512:${'0'.repeat(128)}`, /64 lower-case hex digits/],
    ['ghcr.io/Foo/bar', /upper case in "Foo"/],
    ['ghcr.io/a//b', /empty component/],
    ['ghcr.io/a/../b', /component "\.\."/],
    ['ghcr.io/a b', /component "a b"/],
    ['ghcr.io:0/a', /port "0"/],
    ['ghcr.io:65536/a', /port "65536"/],
    ['ghcr..io/a', /no host name/],
    ['-a.io/a', /no host name/],
    ['::1/a', /IPv6 address stands in brackets|empty host|port/],
    ['[::g]/a', /no IPv6 address/],
    ['[fe80::1%eth0]/a', /no IPv6 address/],
    ['2130706433:80/a', /no IPv4 address/],
    ['0x7f.1/a', /no IPv4 address/],
    ['1.2.3.999/a', /no IPv4 address/],
    ['x'.repeat(2000), /2000 characters, more than 1024/],
    [`ghcr.io/${'x'.repeat(256)}`, /more than 255/],
  ])('%s is refused with its fault', (text, message) => {
    expect(() => parseImageReference(text)).toThrow(RegistryError);
    expect(() => parseImageReference(text)).toThrow(message);
  });

  test('comes back from its canonical form as it was', () => {
    fc.assert(
      fc.property(references, (reference) => {
        const parsed = parseImageReference(formatImageReference(reference));
        expect(parsed).toEqual(reference);
        expect(parseImageReference(formatImageReference(parsed))).toEqual(parsed);
      }),
    );
  });

  test('is parsed or refused with a short message, whatever the text', () => {
    const hostile = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 3000 }),
      fc.string({
        unit: fc.constantFrom('a', 'A', '0', '.', ':', '/', '@', '[', ']', '-', '_', '%', '\0', '\n'),
        maxLength: 60,
      }),
    );
    fc.assert(
      fc.property(hostile, (text) => {
        try {
          const { registry, repository, tag, digest: named } = parseImageReference(text);
          // What was accepted makes a URL of the registry's own host and of nothing more.
          const url = new URL(`http://${registry}/v2/${repository}/manifests/${named ?? tag}`);
          expect(url.pathname).toBe(`/v2/${repository}/manifests/${named ?? tag}`);
          expect(url.search + url.hash + url.username).toBe('');
        } catch (error) {
          expect(error).toBeInstanceOf(RegistryError);
          expect((error as RegistryError).message.length).toBeLessThan(4000);
          expect((error as RegistryError).message).not.toMatch(/[\n\0]/);
        }
      }),
      { numRuns: 300 },
    );
  });
});

test('the parts of a request path are checked one by one', () => {
  expect(parseRegistry('INDEX.docker.io')).toBe('docker.io');
  expect(parseRegistry('[::1]:5000')).toBe('[::1]:5000');
  expect(() => parseRegistry('a/b')).toThrow(/registry "a\/b" is no host name/);
  expect(parseRepository('a/b')).toBe('a/b');
  expect(() => parseRepository('a/../../b')).toThrow(/repository/);
  expect(() => parseRepository('')).toThrow(/empty/);
  expect(parseTagOrDigest(digest)).toBe(digest);
  expect(parseTagOrDigest('v1')).toBe('v1');
  expect(() => parseTagOrDigest('a/b')).toThrow(/neither a tag nor a sha256 digest/);
  expect(isDigest(digest.toUpperCase())).toBe(false);
});
