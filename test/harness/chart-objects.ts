import type { Manifest, Rendered } from './helm.ts';

/** The parts of rendered objects that tests look at. Their shapes were checked against Kubernetes' own schemas. */

export type Labels = Readonly<Record<string, string>>;

interface Reference {
  readonly name: string;
}

interface FileSource {
  readonly items?: readonly { readonly key: string; readonly path: string }[];
  readonly optional?: boolean;
}

interface ProjectedSource {
  readonly secret?: Reference & FileSource;
  readonly configMap?: Reference & FileSource;
  readonly serviceAccountToken?: {
    readonly path: string;
    readonly audience?: string;
    readonly expirationSeconds: number;
  };
}

export interface Volume {
  readonly name: string;
  readonly secret?: FileSource & { readonly secretName: string };
  readonly configMap?: Reference & FileSource;
  readonly projected?: { readonly sources: readonly ProjectedSource[] };
  readonly emptyDir?: { readonly sizeLimit?: string };
  readonly hostPath?: { readonly path: string };
}

interface HttpProbe {
  readonly httpGet: { readonly path: string; readonly port: string };
}

interface CommandProbe {
  readonly exec: { readonly command: readonly string[] };
}

interface ValueSource {
  readonly fieldRef?: { readonly fieldPath: string };
}

export interface SecurityContext {
  readonly privileged?: boolean;
  readonly runAsUser?: number;
  readonly runAsNonRoot?: boolean;
  readonly allowPrivilegeEscalation?: boolean;
  readonly readOnlyRootFilesystem?: boolean;
  readonly capabilities?: { readonly drop: readonly string[] };
  readonly seccompProfile?: { readonly type: string };
}

export interface VolumeMount {
  readonly name: string;
  readonly mountPath: string;
  readonly subPath?: string;
  readonly subPathExpr?: string;
  readonly readOnly?: boolean;
}

export interface Container {
  readonly name: string;
  readonly image: string;
  readonly command: readonly string[];
  readonly env?: readonly { readonly name: string; readonly value?: string; readonly valueFrom?: ValueSource }[];
  readonly volumeMounts?: readonly VolumeMount[];
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[];
  readonly startupProbe?: HttpProbe;
  readonly livenessProbe?: HttpProbe;
  readonly readinessProbe?: HttpProbe & CommandProbe;
  readonly securityContext?: SecurityContext;
  readonly resources?: { readonly requests?: unknown; readonly limits?: unknown };
}

export interface PodSpec {
  readonly serviceAccountName: string;
  readonly automountServiceAccountToken?: boolean;
  readonly hostNetwork?: boolean;
  readonly hostPID?: boolean;
  readonly nodeSelector?: Labels;
  readonly securityContext?: { readonly fsGroup?: number };
  readonly initContainers?: readonly Container[];
  readonly containers: readonly Container[];
  readonly volumes?: readonly Volume[];
}

export interface Workload extends Manifest {
  readonly spec: {
    readonly replicas?: number;
    readonly serviceName?: string;
    readonly selector?: { readonly matchLabels: Labels };
    readonly template: {
      readonly metadata: { readonly labels: Labels; readonly annotations?: Labels };
      readonly spec: PodSpec;
    };
  };
}

export interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
}

const workloadKinds = ['DaemonSet', 'StatefulSet', 'Job'];

export function workloads({ manifests }: Rendered): Workload[] {
  return manifests.filter(({ kind }) => workloadKinds.includes(kind)) as Workload[];
}

export function ofKind({ manifests }: Rendered, kind: string): Manifest[] {
  return manifests.filter((each) => each.kind === kind);
}

/** The object whose name ends so. */
export function named<T extends Manifest>(objects: readonly T[], end: string): T {
  const found = objects.find(({ metadata }) => metadata.name.endsWith(end));
  if (found === undefined) throw new Error(`there is no ${end} among ${objects.map((each) => each.metadata.name)}`);
  return found;
}

export function containersOf({ spec }: Workload): Container[] {
  return [...(spec.template.spec.initContainers ?? []), ...spec.template.spec.containers];
}

/** The text of `config.yaml` in the role's ConfigMap. */
export function configOf(rendered: Rendered, role: 'agent' | 'registry-mirror' | 'scheduler'): string {
  const { data } = named(ofKind(rendered, 'ConfigMap'), `-${role}`) as Manifest & { readonly data: Labels };
  return data['config.yaml'] ?? '';
}

export function selects(selector: Labels, labels: Labels): boolean {
  return Object.entries(selector).every(([name, value]) => labels[name] === value);
}

/** Names of the Secrets and ConfigMaps that a volume takes files from. */
export function sourcesOf(volume: Volume): { readonly secrets: string[]; readonly configMaps: string[] } {
  const projected = volume.projected?.sources ?? [];
  return {
    secrets: [volume.secret?.secretName, ...projected.map(({ secret }) => secret?.name)].filter(
      (name) => name !== undefined,
    ),
    configMaps: [volume.configMap?.name, ...projected.map(({ configMap }) => configMap?.name)].filter(
      (name) => name !== undefined,
    ),
  };
}

/** Names of the files that a projected volume or a Secret with items has. */
export function filesOf(volume: Volume): string[] {
  const projected = volume.projected?.sources ?? [];
  const items = [volume.secret, volume.configMap, ...projected.flatMap((each) => [each.secret, each.configMap])];
  return [
    ...items.flatMap((each) => each?.items ?? []).map((item) => item.path),
    ...projected.flatMap(({ serviceAccountToken }) => (serviceAccountToken ? [serviceAccountToken.path] : [])),
  ];
}
