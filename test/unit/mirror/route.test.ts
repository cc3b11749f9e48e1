import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { pathOfRegistry } from '../../../src/config/path-registry.ts';
import { Refusal } from '../../../src/mirror/refusal.ts';
import { route } from '../../../src/mirror/route.ts';

const digest = `sha256:${'0123456789abcdef'.repeat(4)}`;

function refused(target: string): Refusal {
  try {
    route(target);
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  }
  throw new Error(`${target} was not refused`);
}

describe('a request of containerd', () => {
  it('names the registry in ns', () => {
    expect(route('/v2/library/alpine/manifests/3.20?ns=docker.io')).toEqual({
      kind: 'manifest',
      registry: 'docker.io',
      repository: 'library/alpine',
      reference: '3.20',
      form: 'ns',
    });
    expect(route(`/v2/a/b/c/blobs/${digest}?ns=reg.test%3A5000`)).toEqual({
      kind: 'blob',
      registry: 'reg.test:5000',
      repository: 'a/b/c',
      reference: digest,
      form: 'ns',
    });
  });

  it('has its whole path read as the repository, even when that begins like a registry', () => {
    expect(route('/v2/docker.io/app/manifests/v1?ns=quay.io')).toMatchObject({
      registry: 'quay.io',
      repository: 'docker.io/app',
    });
  });

  it('may name the registry only once, and not emptily', () => {
    expect(refused('/v2/app/manifests/v1?ns=a.test&ns=b.test')).toMatchObject({ status: 400, code: 'NAME_INVALID' });
    expect(refused('/v2/app/manifests/v1?ns=')).toMatchObject({ status: 400, code: 'NAME_INVALID' });
  });
});

describe('a request of CRI-O or podman', () => {
  it.each(['docker.io', 'localhost', 'reg:5000', '127.0.0.1:5000', '[::1]:5000'])(
    'names the registry %s first in the path',
    (registry) => {
      expect(route(`/v2/${registry}/library/alpine/manifests/v1`)).toMatchObject({
        registry,
        repository: 'library/alpine',
        form: 'path',
      });
    },
  );

  it('has the port behind an underscore, because their repositories can have no colon', () => {
    for (const registry of ['reg.test:5000', 'localhost:5000', 'reg:1', '127.0.0.1:65535', 'docker.io']) {
      const component = pathOfRegistry(registry);
      expect(component).toMatch(/^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/);
      expect(route(`/v2/${component}/app_5000/manifests/v1`)).toMatchObject({ registry, repository: 'app_5000' });
    }
  });

  it('is refused with the cause when it names no registry', () => {
    const refusal = refused('/v2/library/alpine/manifests/latest');
    expect(refusal).toMatchObject({ status: 400, code: 'NAME_INVALID' });
    expect(refusal.message).toContain('ns=<registry>');
    expect(refusal.message).toContain('"library"');
  });

  it('is refused when there is a registry, but no repository', () => {
    expect(refused('/v2/docker.io/manifests/latest')).toMatchObject({ status: 400, code: 'NAME_INVALID' });
  });
});

describe('a target', () => {
  it.each(['/v2/', '/v2', '/v2/?ns=docker.io', 'http://127.0.0.1:65002/v2/'])('%s asks for the version', (target) => {
    expect(route(target)).toEqual({ kind: 'version' });
  });

  it.each([
    '',
    '/',
    '*',
    '/v1/',
    '/v2/_catalog',
    '/v2/a.test/app/tags/list',
    `/v2/a.test/app/referrers/${digest}`,
    '/v2/a.test/app/blobs/uploads/',
    '/v3/a.test/app/manifests/v1',
    'v2/a.test/app/manifests/v1',
  ])('%j, which is not part of a pull, is 404', (target) => {
    expect(refused(target)).toMatchObject({ status: 404 });
  });

  it('may be written with percent-encoding, but with no second way to write a slash', () => {
    expect(route(`/v2/a.test/a%70p/blobs/sha256%3A${digest.slice(7)}`)).toMatchObject({
      repository: 'app',
      reference: digest,
    });
    expect(refused('/v2/a.test%2Fapp/manifests/v1')).toMatchObject({ status: 400, code: 'NAME_INVALID' });
    expect(refused('/v2/a.test/%zz/manifests/v1')).toMatchObject({ status: 400, code: 'NAME_INVALID' });
    expect(refused('/v2/a.test/%ff/manifests/v1')).toMatchObject({ status: 400, code: 'NAME_INVALID' });
  });

  it.each(['App', 'a//b', '../x', 'a..b', '-a', 'a_', 'x'.repeat(256)])('with the repository %s is 400', (name) => {
    expect(refused(`/v2/${name}/manifests/v1?ns=a.test`)).toMatchObject({ status: 400, code: 'NAME_INVALID' });
  });

  it.each(['http://a.test', 'a.test/b', 'a b', 'a.test:0', 'user@a.test', '10.0.0.256', 'a'.repeat(256)])(
    'with the registry %s is 400',
    (registry) => {
      const target = `/v2/app/manifests/v1?ns=${encodeURIComponent(registry)}`;
      expect(refused(target)).toMatchObject({ status: 400, code: 'NAME_INVALID' });
    },
  );

  it.each(['-v1', 't'.repeat(129), ''])('with the tag %j is 400', (tag) => {
    expect(refused(`/v2/a.test/app/manifests/${tag}`)).toMatchObject({ status: 400, code: 'MANIFEST_INVALID' });
  });

  it.each(['sha256:abc', `sha256:${'A'.repeat(64)}`, `${digest}0`, 'v1', ':', 'sha256:'])(
    'with the blob digest %s is 400',
    (text) => {
      expect(refused(`/v2/a.test/app/blobs/${text}`)).toMatchObject({ status: 400, code: 'DIGEST_INVALID' });
    },
  );

  it('with a digest that Shoal cannot check is 404, so that the runtime asks the registry', () => {
    const sha512 = `sha512:${'0'.repeat(128)}`;
    expect(refused(`/v2/a.test/app/blobs/${sha512}`)).toMatchObject({ status: 404, code: 'UNSUPPORTED' });
    expect(refused(`/v2/a.test/app/manifests/${sha512}`)).toMatchObject({ status: 404, code: 'UNSUPPORTED' });
  });

  it('of any content is either understood within the lengths of the specification, or refused', () => {
    const piece = fc.oneof(
      fc.constantFrom(
        '/',
        'v2',
        'manifests',
        'blobs',
        'a.test',
        'localhost',
        '?ns=',
        '&',
        '%',
        '%2F',
        '..',
        digest,
        ':',
      ),
      fc.string(),
    );
    const target = fc.oneof(
      fc.array(piece, { maxLength: 20 }).map((pieces) => pieces.join('')),
      fc.array(piece, { maxLength: 8 }).map((pieces) => `/v2/a.test/${pieces.join('')}/manifests/v1`),
    );
    fc.assert(
      fc.property(target, (text) => {
        let result: ReturnType<typeof route>;
        try {
          result = route(text);
        } catch (error) {
          expect(error).toBeInstanceOf(Refusal);
          expect([400, 404]).toContain(error instanceof Refusal && error.status);
          return;
        }
        if (result.kind === 'version') return;
        expect(result.registry.length).toBeLessThanOrEqual(255);
        expect(result.repository).toMatch(/^[a-z0-9]([a-z0-9._/-]{0,253}[a-z0-9])?$/);
        expect(result.reference).toMatch(/^(\w[\w.-]{0,127}|sha256:[0-9a-f]{64})$/);
      }),
      { numRuns: 2000 },
    );
  });

  it('that is longer than any name can be is 400', () => {
    expect(refused(`/v2/a.test/${'a/'.repeat(5000)}b/manifests/v1`)).toMatchObject({ status: 400 });
  });

  it('made of a valid name gives back that name, in both forms', () => {
    const component = fc
      .stringMatching(/^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+){0,2}$/)
      .filter((text) => text.length < 30);
    const repository = fc.array(component, { minLength: 1, maxLength: 5 }).map((components) => components.join('/'));
    const reference = fc.oneof(fc.stringMatching(/^\w[\w.-]{0,127}$/), fc.constant(digest));
    const registry = fc.constantFrom('docker.io', 'reg.test:5000', 'localhost', '[::1]:5000');
    fc.assert(
      fc.property(registry, repository, reference, (registry, repository, reference) => {
        const expected = { kind: 'manifest', registry, repository, reference };
        const encoded = reference.split('').map(encodeURIComponent).join('');
        expect(route(`/v2/${registry}/${repository}/manifests/${encoded}`)).toEqual({ ...expected, form: 'path' });
        expect(route(`/v2/${repository}/manifests/${reference}?ns=${encodeURIComponent(registry)}`)).toEqual({
          ...expected,
          form: 'ns',
        });
      }),
    );
  });
});
