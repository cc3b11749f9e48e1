import { once } from 'node:events';
import { request } from 'node:http';
import { createServer } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { NodeStatus } from '../../src/agent/telemetry.ts';
import { HttpServer, text } from '../../src/telemetry/http-server.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { type Agent, startAgent } from '../harness/agent.ts';
import { keptLog } from '../harness/log-lines.ts';
import { parseMetrics } from '../harness/metrics.ts';
import { freePort } from '../harness/ports.ts';
import { Scope } from '../harness/scope.ts';
import { waitFor } from '../harness/wait.ts';

const MiB = 1024 * 1024;

let scope: Scope;
beforeEach(() => {
  scope = new Scope();
});
afterEach(() => scope.close());

async function get(agent: Agent, path: string): Promise<{ readonly status: number; readonly body: string }> {
  const answer = await fetch(`${agent.telemetryUrl}${path}`);
  return { status: answer.status, body: await answer.text() };
}

describe('the metrics', () => {
  test('are a page that Prometheus takes, with names by its conventions', async () => {
    const agent = await startAgent(scope, { diskTier: 64 * MiB, memoryTier: 32 * MiB });
    const { body } = await get(agent, '/metrics');
    const { types, value } = parseMetrics(body);
    for (const [name, type] of types) {
      expect(name).toMatch(/^shoal_[a-z0-9_]+$/);
      expect(name.endsWith('_total')).toBe(type === 'counter');
    }
    expect(value('shoal_engine_up')).toBe(1);
    expect(value('shoal_ready')).toBe(1);
    expect(value('shoal_cache_capacity_bytes', { tier: 'memory' })).toBe(32 * MiB);
    expect(value('shoal_disk_up')).toBe(1);
    expect(value('shoal_process_resident_memory_bytes', { process: 'engine' })).toBeGreaterThan(32 * MiB);
    expect(value('shoal_pull_duration_seconds_count', { accelerated: 'true' })).toBe(0);
  });
});

describe('the health', () => {
  test('is told while the engine is away, with the reason and since when, and again when it is back', async () => {
    const agent = await startAgent(scope, { memoryTier: 32 * MiB });
    expect(await get(agent, '/readyz')).toEqual({ status: 200, body: '[+]engine ok\n[+]disk ok\n' });
    const before = Date.now();
    process.kill(await agent.enginePid(), 'SIGKILL');
    const [ready, live] = await waitFor(
      async () => {
        const all = await Promise.all(['/readyz', '/livez'].map((path) => get(agent, path)));
        return all[0]?.status === 503 && all[0].body.includes('SIGKILL') ? all : undefined;
      },
      { what: 'an engine that is away', intervalMs: 5 },
    );
    expect(ready?.body).toMatch(
      /^\[-\]engine failed since \S+: (engine restarting since \S+|the engine runs since \S+ and does not answer) \(it ended with signal SIGKILL\)\n$/,
    );
    expect(live?.status).toBe(200);
    const since = Date.parse(/failed since (\S+):/.exec(ready?.body ?? '')?.[1] ?? '');
    expect(since).toBeGreaterThanOrEqual(before);
    const metrics = parseMetrics((await get(agent, '/metrics')).body);
    expect(metrics.value('shoal_engine_restarts_total')).toBe(1);
    await waitFor(async () => (await get(agent, '/readyz')).status === 200, { what: 'a node that is ready again' });
  });

  test('names the part that is degraded, and the node stays ready', async () => {
    const agent = await startAgent(scope, { diskTier: 2 ** 40, memoryTier: 32 * MiB });
    const { status, body } = await get(agent, '/readyz');
    expect(status).toBe(200);
    expect(body).toMatch(/^\[\+\]engine ok\n\[!\]disk degraded since \S+: the disk cache is out of use: /);
    const metrics = parseMetrics((await get(agent, '/metrics')).body);
    expect(metrics.value('shoal_condition_ok', { condition: 'disk' })).toBe(0);
    expect(metrics.value('shoal_disk_up')).toBe(0);
  });
});

describe('the status in JSON', () => {
  test('tells the node, its engine and its conditions', async () => {
    const agent = await startAgent(scope, { memoryTier: 32 * MiB });
    const status: NodeStatus = JSON.parse((await get(agent, '/api/status')).body);
    expect(status).toMatchObject({
      ready: true,
      supervisor: { engine: { state: 'running', restarts: 0 }, pulls: [] },
      engine: { pulls: { active: 0 }, store: { mode: 'memory' } },
    });
    expect(status.processes.engine?.pid).toBe(await agent.enginePid());
    expect(JSON.parse((await get(agent, '/api/pulls')).body)).toEqual([]);
    expect(JSON.parse((await get(agent, '/api/peers')).body)).toEqual([]);
    expect((await get(agent, '/api/pulls/1')).status).toBe(404);
  });
});

describe('the server', () => {
  const log = createLogger({ name: 'test', level: 'silent' });

  async function serve(host = '127.0.0.1'): Promise<string> {
    const server = new HttpServer({ host, port: await freePort(), route: () => text(200, 'here\n'), log });
    await server.listen();
    scope.defer(() => server.close());
    return `http://127.0.0.1:${server.address?.port}/`;
  }

  /** fetch does not let a test choose the Host header. */
  async function statusFor(url: string, host: string): Promise<number | undefined> {
    const asked = request(url, { headers: { host } });
    asked.end();
    const [answer] = await once(asked, 'response');
    answer.resume();
    return answer.statusCode;
  }

  test('only reads', async () => {
    const url = await serve();
    for (const method of ['POST', 'PUT', 'DELETE']) expect((await fetch(url, { method })).status).toBe(405);
    const head = await fetch(url, { method: 'HEAD' });
    expect([head.status, head.headers.get('content-length'), await head.text()]).toEqual([200, '5', '']);
  });

  test('lets nothing run that it did not send', async () => {
    const { headers } = await fetch(await serve());
    expect(headers.get('content-security-policy')).toContain("default-src 'none'; script-src 'self'");
    expect(headers.get('x-content-type-options')).toBe('nosniff');
  });

  test('on loopback answers to addresses and localhost alone, so that no rebound name of a web page reads it', async () => {
    const url = await serve();
    const { port } = new URL(url);
    expect(await statusFor(url, 'evil.example')).toBe(421);
    expect(await statusFor(url, `evil.example:${port}`)).toBe(421);
    for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, '[::1]:1'])
      expect(await statusFor(url, host)).toBe(200);
  });

  test('on other addresses answers to any name, as Prometheus may use it', async () => {
    expect(await statusFor(await serve('0.0.0.0'), 'node-1.example')).toBe(200);
  });

  test('whose port is taken says so and does not end the process', async () => {
    const other = createServer();
    other.listen(0, '127.0.0.1');
    await once(other, 'listening');
    scope.defer(() => other.close());
    const port = (other.address() as { port: number }).port;
    const kept = keptLog();
    const server = new HttpServer({ host: '127.0.0.1', port, route: () => undefined, log: kept.log });
    await server.listen();
    scope.defer(() => server.close());
    expect(server.address).toBeUndefined();
    expect(await kept.line('metrics and the status page cannot be served (telemetry.port)')).toMatchObject({ port });
  });
});
