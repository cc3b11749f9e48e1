import { expect, test } from 'vitest';
import { parseUnit } from '../../../../src/cli/doctor/unit-environment.ts';

test.each([
  ['LoadState=not-found\nEnvironment=\n', undefined],
  ['', undefined],
  ['Environment=\nLoadState=loaded\n', {}],
  [
    'LoadState=loaded\nEnvironment=SHOAL_RUNTIME_ENDPOINT=unix:///var/run/crio/crio.sock HTTPS_PROXY=http://p:3128\n',
    { SHOAL_RUNTIME_ENDPOINT: 'unix:///var/run/crio/crio.sock', HTTPS_PROXY: 'http://p:3128' },
  ],
  [
    'LoadState=loaded\nEnvironment=A=1 "NO_PROXY=a, b" "Q=a\\"b=c" EMPTY=\n',
    { A: '1', NO_PROXY: 'a, b', Q: 'a"b=c', EMPTY: '' },
  ],
])('%j has the variables %j', (text, expected) => {
  expect(parseUnit(text)).toEqual(expected);
});
