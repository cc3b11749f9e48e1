import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { unifiedDiff } from '../../../src/runtime/diff.ts';
import { run } from '../../harness/process.ts';
import { Scope } from '../../harness/scope.ts';
import { temporaryFolder } from '../../harness/temp.ts';

function diff(before: string | undefined, after: string | undefined): string {
  return unifiedDiff({ path: 'file', before, after, modeBefore: 0o644, mode: 0o644, emptyFolders: 0 });
}

let scope: Scope;
beforeEach(() => {
  scope = new Scope();
});
afterEach(() => scope.close());

describe('the diff of a dry run', () => {
  test('is empty when nothing changes', () => {
    expect(diff('a\n', 'a\n')).toBe('');
  });

  test('shows a new file and one that goes', () => {
    expect(diff(undefined, 'a\n')).toBe('--- /dev/null\n+++ file\n@@ -0,0 +1,1 @@\n+a\n');
    expect(diff('a\n', undefined)).toBe('--- file\n+++ /dev/null\n@@ -1,1 +0,0 @@\n-a\n');
  });

  test('shows three lines around the change, and a missing line feed', () => {
    expect(diff('1\n2\n3\n4\n5\n6', '1\n2\n3\n4\nnew\n5\n6')).toBe(
      '--- file\n+++ file\n@@ -2,5 +2,6 @@\n 2\n 3\n 4\n+new\n 5\n 6\n\\ No newline at end of file\n',
    );
  });

  test('is one that patch(1) turns into the new file', async () => {
    const folder = await temporaryFolder(scope, 'diff');
    const text = fc.array(fc.constantFrom('a\n', 'b\n', '\n', 'c'), { maxLength: 12 }).map((lines) => lines.join(''));
    await fc.assert(
      fc.asyncProperty(text, text, async (before, after) => {
        fc.pre(before !== after && before !== '' && after !== '');
        await writeFile(path.join(folder, 'file'), before);
        const patched = await run(['patch', '--silent', '--output=-', path.join(folder, 'file')], {
          input: diff(before, after),
        });
        expect(patched).toBe(after);
      }),
      { numRuns: 30 },
    );
  });
});
