import type { Config } from '../../config/schema.ts';
import type { Tunnel } from '../../registry/dispatcher.ts';
import { Pinger, type Pong, type Route } from '../../registry/ping.ts';
import type { Environment } from '../../registry/proxy.ts';
import { parseRegistry } from '../../registry/reference.ts';
import { RegistryError } from '../../registry/types.ts';
import { routeThrough } from '../../swarm/tunnel/route.ts';
import { aheadOf } from './date.ts';
import { reasonOf } from './findings.ts';
import { membersOf } from './members.ts';
import { openSecurity } from './peer-answers.ts';
import { environmentOf } from './proc.ts';
import type { KnownContext, RegistryAnswer, RegistryAnswers, RegistryOutcome } from './types.ts';

/** Asked at once; a cluster has a few. */
const mostRegistries = 16;
const hub = 'docker.io';

/** Which registries are to be asked, and why none. */
export function registriesToAsk({ config, registries, agent }: Pick<KnownContext, 'config' | 'registries' | 'agent'>): {
  readonly names: readonly string[];
  /** Nobody named them. */
  readonly implied: boolean;
} {
  const literal = config.registries.include
    .map((pattern) => pattern.split('/')[0] ?? '')
    .filter((host) => /[.:]/.test(host) && !host.includes('*'));
  const instances = (agent.engine?.acr ?? []).flatMap(({ hosts }) => hosts);
  const configured = [...Object.keys(config.registries.hosts), ...literal, ...instances];
  const named = registries.length > 0 ? registries : configured;
  const names = [...new Set(named.map(parseRegistry))].slice(0, mostRegistries);
  return names.length > 0 ? { names, implied: false } : { names: [hub], implied: true };
}

/** Asks each registry for its API's root, as the agent would: through its proxies, with its CA files, through mirrors where it does. */
export async function askRegistries(context: KnownContext, signal: AbortSignal): Promise<RegistryAnswers> {
  const { config, agent, root, environment } = context;
  const { names, implied } = registriesToAsk(context);
  const pid = agent.engine?.process.pid;
  // The proxies of the agent's unit, which this shell need not have.
  const variables = pid === undefined ? undefined : await environmentOf(root, pid);
  const mirrors = config.p2p.plusMode.registryAccess === 'mirror' ? await openTunnels(context) : undefined;
  if (mirrors !== undefined && 'none' in mirrors) return { answers: [], none: mirrors.none };
  let pinger: Pinger;
  try {
    pinger = new Pinger(pingerOptions(config, variables ?? environment, mirrors?.tunnelFor));
  } catch (error) {
    mirrors?.close();
    if (!(error instanceof RegistryError)) throw error;
    // The agent itself would not start with it.
    return {
      answers: [],
      none: { says: error.message, mend: 'mend that file or variable, then systemctl restart shoal' },
    };
  }
  try {
    return { answers: await Promise.all(names.map((name) => ask(pinger, name, implied, context.now, signal))) };
  } finally {
    await pinger.close();
    mirrors?.close();
  }
}

function pingerOptions(
  { registries, p2p }: Config,
  environment: Environment,
  tunnelFor: ((url: URL) => Tunnel | undefined) | undefined,
) {
  return {
    hosts: registries.hosts,
    environment,
    tunnelFor,
    connectTimeoutMs: Math.min(p2p.connectTimeout * 1000, 5_000),
    transferTimeoutMs: 5_000,
  };
}

/** The ways through the mirrors that can be reached, else why there is none. */
async function openTunnels(context: KnownContext) {
  const none = (why: string) => ({
    none: {
      says: `registries are reached through a mirror (p2p.plusMode.registryAccess): ${why}`,
      mend: 'see peers below; shoal peers lists the mirrors, and those that are out of reach',
    },
  });
  const known = await membersOf(context);
  if ('instead' in known) return none(known.instead.says);
  const all = known.members.filter(({ role }) => role === 'mirror');
  const mirrors = all.filter(({ suspect }) => !suspect);
  if (mirrors.length === 0) return none(all.length === 0 ? 'no mirror is known' : 'no mirror can be reached');
  const opened = await openSecurity(context.config.p2p);
  if ('instead' in opened) return none(opened.instead.says);
  const { security } = opened;
  return {
    tunnelFor: (url: URL) => routeThrough(mirrors, url.host, security),
    close: () => security.kind === 'tls' && security.certificates.close(),
  };
}

async function ask(
  pinger: Pinger,
  registry: string,
  implied: boolean,
  now: () => number,
  signal: AbortSignal,
): Promise<RegistryAnswer> {
  const url = pinger.rootOf(registry);
  const route = pinger.routeOf(url);
  const via =
    route.proxy !== undefined
      ? `proxy ${route.proxy}`
      : route.mirror !== undefined
        ? `mirror ${route.mirror}`
        : undefined;
  const known = { registry, url: url.href, implied, ...(via !== undefined && { via }) };
  const began = performance.now();
  try {
    const pong = await pinger.ask(url, registry, signal);
    const milliseconds = Math.round(performance.now() - began);
    const aheadMs = aheadOf(pong.date, now(), milliseconds);
    const tokenServer = await askTokenServer(pinger, registry, pong, signal);
    return {
      ...known,
      outcome: {
        kind: 'answered',
        status: pong.status,
        milliseconds,
        ...(aheadMs !== undefined && { aheadMs }),
        ...(tokenServer && { tokenServer }),
      },
    };
  } catch (error) {
    return { ...known, outcome: classify(error, route) };
  }
}

/** A registry that wants a token is of no use when its token server is out of reach. */
async function askTokenServer(pinger: Pinger, registry: string, { realm }: Pong, signal: AbortSignal) {
  const url = URL.parse(realm ?? '');
  if (url === null || !['http:', 'https:'].includes(url.protocol)) return undefined;
  const shown = `${url.origin}${url.pathname}`;
  try {
    const { status } = await pinger.ask(url, registry, signal);
    return { url: shown, ...(status >= 500 && { failure: `it answers ${status}` }) };
  } catch (error) {
    return { url: shown, failure: classify(error, pinger.routeOf(url)).reason };
  }
}

const nameCodes = new Set(['ENOTFOUND', 'EAI_AGAIN', 'EAI_FAIL', 'EAI_NODATA', 'ENODATA']);
const connectCodes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EPIPE',
  'ETIMEDOUT',
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_SOCKET',
]);

/** At which step a request failed, by the codes of the error and of its causes. */
export function classify(error: unknown, route: Route): Exclude<RegistryOutcome, { kind: 'answered' }> {
  const codes: string[] = [];
  for (let each = error; each instanceof Error; each = each.cause) {
    if ('code' in each && typeof each.code === 'string') codes.push(each.code);
    if (each instanceof AggregateError) codes.push(...each.errors.flatMap(({ code }) => code ?? []));
  }
  // The request itself is named beside the reason.
  const reason = reasonOf(error).replace(/^GET \S+: /, '');
  const has = (known: ReadonlySet<string>) => codes.some((code) => known.has(code));
  const tls = codes.some(
    (code) => code.startsWith('ERR_SSL_') || code.startsWith('ERR_TLS_') || /CERT|SIGNATURE/.test(code),
  );
  if (tls) return { kind: 'tls', reason };
  // Through a proxy the only name that is resolved here, and the only connection, is the proxy's.
  if (route.proxy !== undefined && (has(nameCodes) || has(connectCodes) || /proxy/i.test(reason)))
    return { kind: 'proxy', reason };
  // A mirror that says no to CONNECT is undici's proxy, too; of what is behind it only TLS is seen from here.
  if (route.mirror !== undefined && (has(nameCodes) || has(connectCodes) || /proxy/i.test(reason)))
    return { kind: 'mirror', reason };
  if (has(nameCodes)) return { kind: 'dns', reason };
  if (has(connectCodes)) return { kind: 'connect', reason };
  return { kind: 'other', reason };
}
