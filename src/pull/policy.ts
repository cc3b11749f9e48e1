import type { Repository } from '../registry/types.ts';

/** What decides whether a pull is accelerated. */
export interface PolicyRules {
  /** Patterns of `<registry>/<repository>`; `*` stands for any run of characters, `/` included. */
  readonly include: readonly string[];
  readonly exclude: readonly string[];
}

/** `rule` names what decided, in words for the pull's log line. */
export interface PolicyDecision {
  readonly accelerate: boolean;
  readonly rule: string;
}

export type Policy = (repository: Repository) => PolicyDecision;

/** Compiles the rules once; the policy itself is a pure function of the repository. Exclusion wins. */
export function createPolicy(rules: PolicyRules): Policy {
  const include = rules.include.map(compile);
  const exclude = rules.exclude.map(compile);
  return ({ registry, repository }) => {
    const name = `${registry}/${repository}`;
    const excluded = exclude.find((pattern) => pattern.matches(name));
    if (excluded) return { accelerate: false, rule: `registries.exclude: ${excluded.text}` };
    const included = include.find((pattern) => pattern.matches(name));
    if (included) return { accelerate: true, rule: `registries.include: ${included.text}` };
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
