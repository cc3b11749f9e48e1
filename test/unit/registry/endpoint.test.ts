import { expect, test } from 'vitest';
import { registryOrigin } from '../../../src/registry/endpoint.ts';

test.each([
  ['docker.io', 'https://registry-1.docker.io'],
  ['ghcr.io', 'https://ghcr.io'],
  ['ghcr.io:5000', 'https://ghcr.io:5000'],
  ['localhost', 'http://localhost'],
  ['localhost:5000', 'http://localhost:5000'],
  ['127.3.2.1:5000', 'http://127.3.2.1:5000'],
  ['[::1]:5000', 'http://[::1]:5000'],
  ['127.example.com', 'https://127.example.com'],
  ['localhost.example.com', 'https://localhost.example.com'],
  ['10.0.0.1', 'https://10.0.0.1'],
  ['plain.example.com', 'http://plain.example.com'],
  ['127.0.0.1:5001', 'https://127.0.0.1:5001'],
])('%s is spoken to at %s', (registry, origin) => {
  const hosts = { 'plain.example.com': { plainHttp: true }, '127.0.0.1:5001': { plainHttp: false } };
  expect(registryOrigin(registry, hosts)).toBe(origin);
});
