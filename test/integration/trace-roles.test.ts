import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type Agent, startAgent } from '../harness/agent.ts';
import { attribute, type Collector, type OtlpSpan, startCollector } from '../harness/collector.ts';
import { entry } from '../harness/entry.ts';
import { e2eImages, startImageRegistry } from '../harness/image-registry.ts';
import { freePort } from '../harness/ports.ts';
import { runAnyway } from '../harness/process.ts';
import { type Relay, startRelay } from '../harness/relay.ts';
import { loopbackAddresses, memberOf, type Plan, startRole } from '../harness/roles.ts';
import { Scope } from '../harness/scope.ts';

const state = 'vendor=opaque';

let scope: Scope;
let collector: Collector;
let origin: Relay;
beforeEach(async () => {
  scope = new Scope();
  collector = await startCollector(scope);
  const registry = await startImageRegistry(scope, { layered: e2eImages.layered });
  origin = await startRelay(scope, registry.url);
});
afterEach(() => scope.close());

/** Nodes that send what they record to the collector. */
async function startSwarm(plan: Plan, registryAccess: 'direct' | 'mirror'): Promise<Agent[]> {
  const traces = { endpoint: collector.url };
  for (const mirror of plan.mirrors) {
    const telemetry = { port: await freePort(), traces: { ...traces, registries: [origin.host] } };
    const registries = { hosts: { [origin.host]: {} } };
    await startRole(scope, 'mirror', mirror, plan, { sections: { telemetry, registries } });
  }
  return await Promise.all(
    plan.agents.map((address) => {
      const p2p = memberOf(address, plan);
      const env = { SHOAL_TELEMETRY_TRACES_ENDPOINT: collector.url };
      return startAgent(scope, { p2p: { ...p2p, plusMode: { ...p2p.plusMode, registryAccess } }, env });
    }),
  );
}

const reachable = async (agent: Agent | undefined, count: number) => {
  const { stdout = '' } = (await agent?.shoal('peers', '--output', 'json')) ?? {};
  expect(stdout.match(/"state": "reachable"/g)).toHaveLength(count);
};

/** Runs a command in a trace of its own, as OpenTelemetry's variables say. */
async function traced(agent: Agent | undefined, ...command: string[]) {
  const [traceId, caller] = [randomBytes(16).toString('hex'), randomBytes(8).toString('hex')];
  const { code, stderr } = await runAnyway(
    [process.execPath, entry, ...command, '--output', 'json', '--config', agent?.configFile ?? ''],
    { env: { TRACEPARENT: `00-${traceId}-${caller}-01`, TRACESTATE: state } },
  );
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const spans = () => collector.spans.filter((span) => span.traceId === traceId);
  const named = (name: string) => spans().filter((span) => span.name === name);
  /** The name of the span above it. */
  const above = ({ parentSpanId }: OtlpSpan) =>
    parentSpanId === caller ? 'caller' : spans().find(({ spanId }) => spanId === parentSpanId)?.name;
  return { traceId, named, above };
}

const sum = (spans: readonly OtlpSpan[], key: string) =>
  spans.reduce((all, span) => all + Number(attribute(span, key)), 0);

test('shoal pull stands below its caller; mirrors tell of their tunnels and of what they fetch', async () => {
  const [mirror = '', address = ''] = await loopbackAddresses(2);
  const [agent] = await startSwarm({ mirrors: [mirror], agents: [address], pattern: 'source' }, 'mirror');
  await vi.waitFor(() => reachable(agent, 2), { timeout: 20_000 });
  const { traceId, named, above } = await traced(agent, 'pull', `${origin.host}/layered:v1`);
  await vi.waitFor(
    () =>
      expect([named('pull'), named('origin'), named('tunnel')].map(({ length }) => length > 0)).toEqual([
        true,
        true,
        true,
      ]),
    {
      timeout: 20_000,
    },
  );

  const [pull] = named('pull');
  expect(pull && [above(pull), pull.node, pull.traceState]).toEqual(['caller', address, state]);
  const fetched = named('origin');
  expect(new Set(fetched.map(above))).toEqual(new Set(['layer']));
  expect(new Set(fetched.map(({ node }) => node))).toEqual(new Set([mirror]));
  expect(sum(fetched, 'shoal.bytes')).toBeGreaterThan(0);
  expect(fetched.every((span) => attribute(span, 'shoal.from') === `${origin.host}/layered`)).toBe(true);

  const tunnels = named('tunnel');
  expect(
    tunnels.map((span) => [span.node, attribute(span, 'server.address'), attribute(span, 'shoal.tunnels.opened')]),
  ).toEqual(tunnels.map(() => [mirror, origin.host, expect.stringMatching(/^[1-9]/)]));
  expect(above(tunnels[0] as OtlpSpan)).toBe('manifest');
  // The mirror is to tell the registry, the agent is not.
  const told = origin.requests.filter(({ traceparent }) => traceparent?.includes(traceId));
  expect(new Set(told.map(({ kind }) => kind))).toEqual(new Set(['blob']));
});

test('what a mirror fetches because a shard told it to is in the trace of the pull that wanted it', async () => {
  const [mirror = '', address = ''] = await loopbackAddresses(2);
  const [agent] = await startSwarm({ mirrors: [mirror], agents: [address], pattern: 'p2p' }, 'direct');
  await agent?.process.until(
    async () => {
      const page = await (await fetch(`${agent.telemetryUrl}/metrics`)).text();
      return page.includes('shoal_swarm_usable 1') && page.includes('shoal_directory_entries{kind="agents"} 2');
    },
    { what: 'a swarm that is usable' },
  );
  const { named, above } = await traced(agent, 'pull', `${origin.host}/layered:v1`);
  await vi.waitFor(() => expect([named('pull').length, named('origin').length > 0]).toEqual([1, true]), {
    timeout: 20_000,
  });
  const fetched = named('origin');
  expect(new Set(fetched.map(above))).toEqual(new Set(['layer']));
  expect(new Set(fetched.map(({ node }) => node))).toEqual(new Set([mirror]));
  expect(sum(fetched, 'shoal.pieces.fetched')).toBe(sum(fetched, 'shoal.pieces'));
});

test('shoal preheat is one trace, with the pull of each node', async () => {
  const agents = await loopbackAddresses(2);
  const [first] = await startSwarm({ mirrors: [], agents, pattern: 'p2p' }, 'direct');
  await vi.waitFor(() => reachable(first, 2), { timeout: 20_000 });
  const { named, above } = await traced(first, 'preheat', `${origin.host}/layered:v1`, '--nodes', '2');
  await vi.waitFor(() => expect([named('preheat').length, named('pull').length]).toEqual([1, 2]), { timeout: 20_000 });
  const [whole] = named('preheat');
  expect(whole && [above(whole), whole.node, attribute(whole, 'shoal.nodes')]).toEqual(['caller', agents[0], '2']);
  expect(
    named('preheat node')
      .map((span) => [above(span), attribute(span, 'shoal.node')])
      .sort(),
  ).toEqual(agents.toSorted().map((id) => ['preheat', id]));
  expect(
    named('pull')
      .map((span) => [above(span), span.node])
      .sort(),
  ).toEqual(agents.toSorted().map((id) => ['preheat node', id]));
  expect(named('layer').length).toBeGreaterThan(0);
});
