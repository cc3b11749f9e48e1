import { describe, expect, test } from 'vitest';
import { brokenIngest } from '../../../src/cri/ingest.ts';
import { loggableMessage } from '../../../src/cri/redact.ts';

const digest = 'sha256:'.padEnd(71, 'a');

describe('the broken download in an error of containerd', () => {
  test('is named when its bytes were not what their digest said', () => {
    const message = `failed to pull and unpack image "r/i:1": failed commit on ref "layer-${digest}": unexpected commit digest sha256:bb, expected ${digest}: failed precondition`;
    expect(brokenIngest(message)).toBe(`layer-${digest}`);
  });

  test('is named when its size was wrong', () => {
    expect(
      brokenIngest(
        `failed commit on ref "manifest-${digest}": unexpected commit size 3, expected 4: failed precondition`,
      ),
    ).toBe(`manifest-${digest}`);
    expect(brokenIngest(`failed commit on ref "config-${digest}": failed size validation: 3 != 4`)).toBe(
      `config-${digest}`,
    );
  });

  test.each([
    'failed to resolve reference "r/i:1": not found',
    `failed commit on ref "layer-${digest}": no space left on device`,
    'unexpected commit digest',
  ])('is not looked for in: %s', (message) => expect(brokenIngest(message)).toBeUndefined());
});

describe('a message in the log', () => {
  test('has no signature and no password of a URL', () => {
    const message =
      'failed: Get "https://oss.example/blob?Expires=1&Signature=c2VjcmV0": dial; then http://me:hunter2@proxy:3128/x';
    expect(loggableMessage(message)).toBe('failed: Get "https://oss.example/blob?…": dial; then http://…@proxy:3128/x');
  });

  test('is bounded, and a URL at the cut leaves nothing of its password', () => {
    const long = `${'word '.repeat(818)} http://me:hunter2${'x'.repeat(10_000)}@proxy`;
    expect(loggableMessage(long).length).toBeLessThan(1100);
    expect(loggableMessage(`${'https://a/?'.repeat(400)}http://me:hunter2${'x'.repeat(10_000)}@p`)).not.toContain(
      'hunter2',
    );
  });
});
