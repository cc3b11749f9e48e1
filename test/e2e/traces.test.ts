import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Agent, startAgent } from '../harness/agent.ts';
import { attribute, type Collector, type OtlpSpan, startCollector } from '../harness/collector.ts';
import { e2eImages, startImageRegistry } from '../harness/image-registry.ts';
import { freePort } from '../harness/ports.ts';
import { type Relay, startRelay } from '../harness/relay.ts';
import { startRuntimeStandIn } from '../harness/runtime-stand-in.ts';
import { Scope } from '../harness/scope.ts';
import { temporaryFolder } from '../harness/temp.ts';

/** Two agents of one swarm, each with a runtime, and a collector that both send to. */
describe('a trace that the kubelet begins', () => {
  const scope = new Scope();
  let collector: Collector;
  let origin: Relay;
  let agents: Agent[];
  let ids: string[];

  beforeAll(async () => {
    collector = await startCollector(scope);
    origin = await startRelay(scope, (await startImageRegistry(scope, e2eImages)).url);
    const ports = [await freePort(), await freePort()];
    ids = ports.map((port) => `127.0.0.1:${port}`);
    agents = await Promise.all(ports.map((port) => startTracedAgent(port)));
    await Promise.all(
      agents.map((agent) =>
        agent.logged(({ msg }) => msg === 'engine ready', 'an agent that is ready').then(() => usable(agent)),
      ),
    );
  });
  afterAll(() => scope.close());

  async function startTracedAgent(port: number): Promise<Agent> {
    const runtimeSocket = path.join(await temporaryFolder(scope, 'runtime'), 'runtime.sock');
    const agent = await startAgent(scope, {
      runtimeSocket,
      p2p: { port, tls: 'off', host: '127.0.0.1', membership: { source: 'static', agents: ids } },
      sections: {},
      env: {
        SHOAL_TELEMETRY_TRACES_ENDPOINT: collector.url,
        SHOAL_TELEMETRY_TRACES_REGISTRIES: `[${JSON.stringify(origin.host)}]`,
      },
    });
    const mirror = { url: agent.mirrorUrl, secretFile: path.join(agent.stateDir, 'loopback-secret') };
    await startRuntimeStandIn(scope, { socket: runtimeSocket, mirror });
    return agent;
  }

  async function usable(agent: Agent): Promise<void> {
    await agent.process.until(
      async () => {
        const page = await (await fetch(`${agent.telemetryUrl}/metrics`)).text();
        return page.includes('shoal_swarm_usable 1') && page.includes('shoal_directory_shards{state="linked"} 2');
      },
      { what: 'a swarm that is usable' },
    );
  }

  const pull = async (agent: Agent | undefined, flags = '01') => {
    const traceId = randomBytes(16).toString('hex');
    const caller = randomBytes(8).toString('hex');
    await agent?.cri.pullImage(`${origin.host}/layered:v1`, {
      pod: { name: 'cart-0', namespace: 'shop' },
      metadata: { traceparent: `00-${traceId}-${caller}-${flags}`, tracestate: 'vendor=opaque' },
    });
    return { traceId, caller };
  };
  const of = (traceId: string) => collector.spans.filter((span) => span.traceId === traceId);

  test('goes on over engine, mirror, directory and the peer that gives the pieces', async () => {
    const first = await pull(agents[0]);
    await collector.span((span) => span.traceId === first.traceId && span.name === 'pull', 'of the first pull');
    const { traceId, caller } = await pull(agents[1]);
    const serve = await collector.span((span) => span.traceId === traceId && span.name === 'serve', 'of the peer');
    await collector.span((span) => span.traceId === traceId && span.name === 'pull', 'of the second pull');
    await collector.span((span) => span.traceId === traceId && span.name === 'directory', 'of a shard');

    const spans = of(traceId);
    const byId = new Map(spans.map((span) => [span.spanId, span]));
    const above = (span: OtlpSpan) => byId.get(span.parentSpanId ?? '')?.name;
    const named = (name: string) => spans.filter((span) => span.name === name);

    expect(byId.size).toBe(spans.length);
    // One tree: the kubelet's span is the only one that the agents did not write.
    expect(new Set(spans.filter((span) => !byId.has(span.parentSpanId ?? '')).map(({ name }) => name))).toEqual(
      new Set(['pull']),
    );
    const [root] = named('pull');
    expect(root?.parentSpanId).toBe(caller);
    expect(root?.node).toBe(ids[1]);
    expect(attribute(root ?? { attributes: [] }, 'k8s.pod.name')).toBe('cart-0');
    expect(named('layer').map(above)).toEqual(named('layer').map(() => 'pull'));
    expect(named('fetch').map(above)).toEqual(named('fetch').map(() => 'layer'));
    expect(new Set(named('fetch').map((span) => attribute(span, 'shoal.source')))).toEqual(new Set(['peer']));
    expect(new Set(named('mirror blob').map(above))).toEqual(new Set(['pull']));

    // The other agent's, in the same trace, below the layer that it gave.
    expect(serve.node).toBe(ids[0]);
    expect(new Set(named('serve').map(above))).toEqual(new Set(['layer']));
    const sent = named('serve').reduce((sum, span) => sum + Number(attribute(span, 'shoal.bytes')), 0);
    const got = named('fetch').reduce((sum, span) => sum + Number(attribute(span, 'shoal.bytes')), 0);
    expect(sent).toBe(got);
    expect(new Set(named('directory').map(above))).toEqual(new Set(['layer']));
    expect(spans.filter(({ name }) => name !== 'directory').every((span) => span.traceState === 'vendor=opaque')).toBe(
      true,
    );
    // Some dozen, however many pieces there are.
    expect(spans.length).toBeLessThan(100);
  });

  test('reaches the registry that is to be told, below manifest and layers', async () => {
    const [first] = collector.spans.filter(({ name }) => name === 'pull');
    const told = origin.requests.flatMap(({ traceparent }) => traceparent ?? []);
    expect(told.length).toBeGreaterThan(0);
    expect(new Set(told.map((header) => header.split('-')[1])).has(first?.traceId)).toBe(true);
  });

  test('is left alone where the kubelet does not record it', async () => {
    await agents[1]?.cri.removeImage(`${origin.host}/layered:v1`);
    const before = origin.requests.length;
    const { traceId } = await pull(agents[1], '00');
    const next = await pull(agents[0]);
    await collector.span((span) => span.traceId === next.traceId && span.name === 'pull', 'of a pull after it');
    expect(of(traceId)).toEqual([]);
    expect(origin.requests.slice(before).some(({ traceparent }) => traceparent?.includes(traceId))).toBe(false);
  });
});
