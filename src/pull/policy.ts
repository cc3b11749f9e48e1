import type { Repository } from '../registry/types.ts';
import { compileGlob, type Glob } from './glob.ts';

/** The label by which pods and namespaces opt in, and its value (seeds, step "Enable P2P acceleration"). */
export const optInLabel = 'k8s.aliyun.com/image-accelerate-mode';
export const optInValue = 'p2p';

/** What decides whether a pull is accelerated. */
export interface PolicyRules {
  /** `labelled`: only pods that opt in, or whose namespace does. */
  readonly accelerate?: 'all' | 'labelled';
  /** Patterns of `<registry>/<repository>`; `*` stands for any run of characters, `/` included. */
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  /** The hosts of the configured ACR instances, as they are known now; undefined: there are no instances configured. */
  readonly instanceHosts?: (() => ReadonlySet<string> | undefined) | undefined;
  /** Whether a namespace opts in, as far as is known now. */
  readonly namespaces?: NamespaceOptIn;
}

export interface NamespaceOptIn {
  optsIn(namespace: string): boolean;
  /** Why the answer may be out of date, or nothing is known; undefined while it is kept up. */
  failure(): string | undefined;
}

/** The pod that a pull is for. */
export interface PolicyPod {
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** `rule` names what decided, in words for the pull's log line. */
export interface PolicyDecision {
  readonly accelerate: boolean;
  readonly rule: string;
}

/** One rule's word. `pass`: the next one decides. */
export interface PolicyStep {
  readonly rule: string;
  readonly verdict: 'yes' | 'no' | 'pass';
}

export interface Policy {
  /** Of a pull for a pod; undefined: nobody says which (crictl). */
  pull(repository: Repository, pod: PolicyPod | undefined): PolicyDecision;
  /** Of a request that belongs to no pull that was let in: pause images, `ctr`, podman. */
  direct(repository: Repository): PolicyDecision;
  /** Of a request that belongs to a pull that was let in: the registries' rules may have changed since. */
  registry(repository: Repository): PolicyDecision;
  /** The rules in their order up to the one that decides. */
  explain(repository: Repository, pod: PolicyPod | undefined): PolicyStep[];
}

/** Compiles the rules once; the policy itself is a function of the pull, the instances' hosts and the namespaces' labels. */
export function createPolicy(rules: PolicyRules): Policy {
  const ofRegistry = registryRules(rules);
  const ofPod = podRules(rules);
  const all = (repository: Repository, pod: PolicyPod | undefined) =>
    function* steps(): Generator<PolicyStep> {
      yield* ofRegistry(repository);
      yield ofPod(pod);
    };
  return {
    pull: (repository, pod) => decide(all(repository, pod)()),
    direct: (repository) => decide(all(repository, undefined)()),
    registry: (repository) => decide(ofRegistry(repository)),
    explain(repository, pod) {
      const steps: PolicyStep[] = [];
      for (const step of all(repository, pod)()) {
        steps.push(step);
        if (step.verdict === 'no') break;
      }
      return steps;
    },
  };
}

/** The last word counts; where the pods' labels don't matter, the registry's rule is the reason. */
function decide(steps: Iterable<PolicyStep>): PolicyDecision {
  let reason = '';
  for (const { rule, verdict } of steps) {
    if (verdict === 'no') return { accelerate: false, rule };
    if (verdict === 'yes' || reason === '') reason = rule;
  }
  return { accelerate: true, rule: reason };
}

/** Exclusion wins; then the instances' hosts; then inclusion. */
function registryRules({ include, exclude, instanceHosts }: PolicyRules) {
  const included = include.map(compileGlob);
  const excluded = exclude.map(compileGlob);
  return function* ({ registry, repository }: Repository): Generator<PolicyStep> {
    const name = `${registry}/${repository}`;
    const exclusion = first(excluded, name);
    if (exclusion) yield { rule: `registries.exclude: ${exclusion}`, verdict: 'no' };
    const hosts = instanceHosts?.();
    if (hosts !== undefined && !hosts.has(registry)) {
      const rule = hosts.size === 0 ? 'the hosts of acrInstances are not known yet' : 'not a host of acrInstances';
      yield { rule, verdict: 'no' };
    }
    const inclusion = first(included, name);
    if (inclusion === undefined) yield { rule: 'no pattern of registries.include matches', verdict: 'no' };
    else yield { rule: hosts === undefined ? `registries.include: ${inclusion}` : 'acrInstances', verdict: 'pass' };
  };
}

/** A pod's own label wins over its namespace's, so that one pod of a namespace can stay out. */
function podRules({ accelerate = 'all', namespaces }: PolicyRules) {
  return (pod: PolicyPod | undefined): PolicyStep => {
    if (accelerate === 'all') return { rule: 'accelerate: all', verdict: 'pass' };
    if (pod === undefined) return { rule: 'accelerate: labelled, and no pod is named', verdict: 'no' };
    const own = pod.labels[optInLabel];
    if (own === optInValue) return { rule: `the pod's label ${optInLabel}: ${optInValue}`, verdict: 'yes' };
    if (own !== undefined) {
      return { rule: `the pod's label ${optInLabel} is not ${optInValue}`, verdict: 'no' };
    }
    if (namespaces?.optsIn(pod.namespace)) {
      return { rule: `the namespace's label ${optInLabel}: ${optInValue} (${pod.namespace})`, verdict: 'yes' };
    }
    const failure = namespaces === undefined ? 'namespaces are not watched' : namespaces.failure();
    const doubt = failure === undefined ? '' : `, as far as is known (${failure})`;
    return {
      rule: `neither the pod nor its namespace has the label ${optInLabel}: ${optInValue}${doubt}`,
      verdict: 'no',
    };
  };
}

function first(globs: readonly Glob[], name: string): string | undefined {
  return globs.find((glob) => glob.matches(name))?.text;
}
