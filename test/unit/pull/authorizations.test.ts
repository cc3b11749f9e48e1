import { describe, expect, test } from 'vitest';
import { Authorizations } from '../../../src/pull/authorizations.ts';
import type { ImageContents } from '../../../src/pull/image.ts';

const repository = { registry: 'reg.test', repository: 'app' };

function contentsOf(bytes: number): ImageContents {
  const root = { digest: 'sha256:1', mediaType: 'm', body: Buffer.alloc(bytes) };
  return { root, manifests: new Map([[root.digest, root]]), layers: [], sizes: new Map(), bytes: 0 };
}

function remember(ttlMs: number) {
  const clock = { now: 1_000 };
  const authorizations = new Authorizations({ ttlMs, now: () => clock.now });
  return { clock, authorizations };
}

describe('what a registry has shown to credentials', () => {
  test('stands for as long as it may, with its age', () => {
    const { clock, authorizations } = remember(60_000);
    const contents = contentsOf(10);
    authorizations.accepted(repository, 'v1', 'alice', contents);
    clock.now += 59_999;
    expect(authorizations.find(repository, 'v1', 'alice')).toEqual({ contents, age: 59_999 });
    clock.now += 1;
    expect(authorizations.find(repository, 'v1', 'alice')).toBeUndefined();
  });

  test('is for the same credentials, repository and reference alone', () => {
    const { authorizations } = remember(60_000);
    authorizations.accepted(repository, 'v1', 'alice', contentsOf(10));
    expect(authorizations.find(repository, 'v1', 'bob')).toBeUndefined();
    expect(authorizations.find(repository, 'v2', 'alice')).toBeUndefined();
    expect(authorizations.find({ ...repository, repository: 'other' }, 'v1', 'alice')).toBeUndefined();
  });

  test('counts no more once the registry has refused', () => {
    const { authorizations } = remember(60_000);
    authorizations.accepted(repository, 'v1', 'alice', contentsOf(10));
    authorizations.refused(repository, 'v1', 'alice');
    expect(authorizations.find(repository, 'v1', 'alice')).toBeUndefined();
  });

  test('is not remembered at all with a time of 0', () => {
    const { authorizations } = remember(0);
    authorizations.accepted(repository, 'v1', 'alice', contentsOf(10));
    expect(authorizations.find(repository, 'v1', 'alice')).toBeUndefined();
  });

  test('is forgotten, the oldest first, when the manifests take too much memory', () => {
    const { authorizations } = remember(60_000);
    for (let tag = 0; tag < 12; tag += 1) {
      authorizations.accepted(repository, `v${tag}`, 'alice', contentsOf(4 * 1024 * 1024));
    }
    expect(authorizations.find(repository, 'v0', 'alice')).toBeUndefined();
    expect(authorizations.find(repository, 'v11', 'alice')).toBeDefined();
  });
});
