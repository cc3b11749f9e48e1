import { z } from 'zod';
import { parseRegistry } from '../reference.ts';
import { RegistryError } from '../types.ts';

/** What stands for one registry in a docker configuration. */
const entry = z.object({
  auth: z.string().optional(),
  username: z.string().optional(),
  password: z.string().optional(),
  identitytoken: z.string().optional(),
  registrytoken: z.string().optional(),
});

export type DockerLogin = z.output<typeof entry>;

const helperName = z.string().regex(/^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$/);

const configuration = z.object({
  auths: z.record(z.string(), entry).optional(),
  credHelpers: z.record(z.string(), helperName).optional(),
  credsStore: z.union([helperName, z.literal('')]).optional(),
});

/** How a registry is logged in to. */
export type LoginRule =
  | { readonly kind: 'static'; readonly login: DockerLogin }
  /** `docker-credential-<helper> get`, with `serverAddress` on its standard input. */
  | { readonly kind: 'helper'; readonly helper: string; readonly serverAddress: string };

interface Rule {
  readonly pattern: Pattern;
  readonly rule: LoginRule;
}

/** A docker config.json or a Kubernetes .dockerconfigjson, understood. */
export interface DockerConfig {
  /** The most exact rule for a repository, undefined when there is none. */
  ruleFor(registry: string, repository: string): LoginRule | undefined;
}

/**
 * Reads the text of a docker config.json (docker's cli-config) or the content of a kubernetes.io/dockerconfigjson secret. Keys are
 * hosts, URLs, hosts with a path, and, as the kubelet reads them, globs in the host (`*.example.com`). `name` is for messages.
 * Throws a `RegistryError` of kind `invalid` that says where it is wrong, never with a value.
 */
export function parseDockerConfig(name: string, text: string): DockerConfig {
  const { auths = {}, credHelpers = {}, credsStore } = parse(name, text);
  const helpers = Object.entries(credHelpers).map(([key, helper]): Rule => {
    return { pattern: patternOf(name, key), rule: { kind: 'helper', helper, serverAddress: key } };
  });
  const logins = Object.entries(auths).flatMap(([key, login]): Rule[] => {
    const pattern = patternOf(name, key);
    // `docker login` with a store leaves an empty entry behind: the store has what counts.
    if (Object.values(login).some((value) => value)) return [{ pattern, rule: { kind: 'static', login } }];
    return credsStore ? [{ pattern, rule: { kind: 'helper', helper: credsStore, serverAddress: key } }] : [];
  });
  // The longer pattern is the more exact one; a helper that is named for a registry goes before a login that is there, too.
  const rules = [...helpers, ...logins].toSorted((a, b) => b.pattern.exactness - a.pattern.exactness);
  return {
    ruleFor: (registry, repository) => rules.find(({ pattern }) => pattern.matches(registry, repository))?.rule,
  };
}

interface Pattern {
  readonly exactness: number;
  matches(registry: string, repository: string): boolean;
}

function patternOf(name: string, key: string): Pattern {
  const [, host = '', path = ''] = /^(?:https?:\/\/)?([^/]*)\/?(.*)$/i.exec(key) ?? [];
  // docker's own key for Docker Hub is https://index.docker.io/v1/: there the path is the API's, not a repository's.
  const repository = /^v[12]\/?$/.test(path) ? '' : path.replace(/\/+$/, '');
  const hostMatches = host.includes('*') ? globOf(host) : exactHost(name, key, host);
  return {
    exactness: (host.includes('*') ? 0 : 1_000_000) + host.length + repository.length,
    matches: (registry, of) =>
      hostMatches(registry) && (repository === '' || of === repository || of.startsWith(`${repository}/`)),
  };
}

function exactHost(name: string, key: string, host: string): (registry: string) => boolean {
  try {
    const registry = parseRegistry(host);
    return (other) => other === registry;
  } catch (cause) {
    const shown = JSON.stringify(key.slice(0, 100));
    throw new RegistryError('invalid', `${name}: the key ${shown} names no registry`, { cause });
  }
}

/** A star stands for a part of a label, never for a dot, as in the kubelet. Ports have to be equal. */
function globOf(host: string): (registry: string) => boolean {
  const labels = host.toLowerCase().split('.');
  return (registry) => {
    const others = registry.split('.');
    return others.length === labels.length && labels.every((label, at) => matchesLabel(label, others[at] ?? ''));
  };
}

function matchesLabel(pattern: string, label: string): boolean {
  const [head = '', ...rest] = pattern.split('*');
  const tail = rest.pop();
  if (tail === undefined) return pattern === label;
  if (label.length < head.length + tail.length || !label.startsWith(head) || !label.endsWith(tail)) return false;
  let at = head.length;
  for (const part of rest) {
    const found = label.indexOf(part, at);
    if (found < 0 || found + part.length > label.length - tail.length) return false;
    at = found + part.length;
  }
  return true;
}

function parse(name: string, text: string): z.output<typeof configuration> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    // Without the cause: the parser's message quotes what it couldn't read.
    throw new RegistryError('invalid', `${name} is not JSON`);
  }
  const parsed = configuration.safeParse(json);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new RegistryError('invalid', `${name}: ${issue?.path.join('.')}: ${issue?.message}`);
}
