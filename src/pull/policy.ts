import type { Repository } from '../registry/types.ts';

/** What decides whether a pull is accelerated. */
export interface PolicyRules {
  /** Patterns of `<registry>/<repository>`; `*` stands for any run of characters, `/` included. */
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  /** The hosts of the configured ACR instances, as they are known now; undefined: there are no instances configured. */
  readonly instanceHosts?: () => ReadonlySet<string> | undefined;
}

/** `rule` names what decided, in words for the pull's log line. */
export interface PolicyDecision {
  readonly accelerate: boolean;
  readonly rule: string;
}

export type Policy = (repository: Repository) => PolicyDecision;

/** Compiles the rules once; the policy itself is a function of the repository and the instances' hosts. Exclusion wins. */
export function createPolicy(rules: PolicyRules): Policy {
  const include = rules.include.map(compile);
  const exclude = rules.exclude.map(compile);
  return ({ registry, repository }) => {
    const name = `${registry}/${repository}`;
    const excluded = exclude.find((pattern) => pattern.matches(name));
    if (excluded) return { accelerate: false, rule: `registries.exclude: ${excluded.text}` };
    const hosts = rules.instanceHosts?.();
    if (hosts !== undefined && !hosts.has(registry)) {
      const rule = hosts.size === 0 ? 'the hosts of acrInstances are not known yet' : 'not a host of acrInstances';
      return { accelerate: false, rule };
    }
    const included = include.find((pattern) => pattern.matches(name));
    if (included) {
      const rule = hosts === undefined ? `registries.include: ${included.text}` : 'acrInstances';
      return { accelerate: true, rule };
    }
    return { accelerate: false, rule: 'no pattern of registries.include matches' };
  };
}

interface Pattern {
  readonly text: string;
  matches(name: string): boolean;
}

/**
 * Literal parts must follow each other in the name; no regular expression, so a pattern with many stars can't take
 * exponential time.
 */
function compile(text: string): Pattern {
  const parts = text.split('*');
  const [head = '', ...rest] = parts;
  const tail = rest.pop();
  return {
    text,
    matches(name) {
      if (tail === undefined) return name === head;
      if (name.length < head.length + tail.length || !name.startsWith(head) || !name.endsWith(tail)) return false;
      const end = name.length - tail.length;
      let at = head.length;
      for (const part of rest) {
        const found = name.indexOf(part, at);
        if (found < 0 || found + part.length > end) return false;
        at = found + part.length;
      }
      return true;
    },
  };
}
