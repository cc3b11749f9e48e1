import { chmod, mkdir, readdir, stat, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { loopbackSecret, loopbackSecretPath, readLoopbackSecret } from '../../../src/config/loopback.ts';
import { Scope } from '../../harness/scope.ts';
import { temporaryFolder } from '../../harness/temp.ts';

let scope: Scope;
let stateDir: string;
beforeEach(async () => {
  scope = new Scope();
  stateDir = path.join(await temporaryFolder(scope, 'secret'), 'state');
});
afterEach(() => scope.close());

describe('the loopback secret', () => {
  test('is made once, for this user alone, and stays the same', async () => {
    const secret = await loopbackSecret(stateDir);
    expect(secret).toMatch(/^[0-9a-f]{64}$/);
    expect((await stat(loopbackSecretPath(stateDir))).mode & 0o777).toBe(0o600);
    expect(await loopbackSecret(stateDir)).toBe(secret);
    expect(await readLoopbackSecret(stateDir)).toBe(secret);
  });

  test('is one for all who come at the same time, and no draft stays', async () => {
    const secrets = await Promise.all(Array.from({ length: 8 }, () => loopbackSecret(stateDir)));
    expect(new Set(secrets).size).toBe(1);
    expect(await readdir(stateDir)).toEqual(['loopback-secret']);
  });

  test('differs between nodes', async () => {
    expect(await loopbackSecret(stateDir)).not.toBe(await loopbackSecret(`${stateDir}2`));
  });

  test('is not made by reading', async () => {
    expect(await readLoopbackSecret(stateDir)).toBeUndefined();
  });

  describe('is refused, with the mend and without its value,', () => {
    const content = 'ab'.repeat(32);
    beforeEach(() => mkdir(stateDir));

    test('when others can read it', async () => {
      await writeFile(loopbackSecretPath(stateDir), content);
      await chmod(loopbackSecretPath(stateDir), 0o644);
      const refusal = await loopbackSecret(stateDir).catch(String);
      expect(refusal).toContain('open to other users (mode 644)');
      expect(refusal).toContain('Remove it');
      expect(refusal).not.toContain(content);
    });

    test('when it is a link', async () => {
      await symlink('/etc/hostname', loopbackSecretPath(stateDir));
      await expect(loopbackSecret(stateDir)).rejects.toThrow('symbolic link');
    });

    test('when it is a folder', async () => {
      await mkdir(loopbackSecretPath(stateDir), { mode: 0o700 });
      await expect(loopbackSecret(stateDir)).rejects.toThrow('not a plain file');
    });

    test.each(['', 'short', `${'zz'.repeat(32)}`, `${content}${content}`])('when it holds %j', async (text) => {
      await writeFile(loopbackSecretPath(stateDir), text, { mode: 0o600 });
      const refusal = await loopbackSecret(stateDir).catch(String);
      expect(refusal).toContain('64 hex digits');
    });
  });
});
