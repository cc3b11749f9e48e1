import { mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Container, PodSpec, Volume, VolumeMount, Workload } from './chart-objects.ts';
import type { CriClient } from './cri-client.ts';
import type { DebianNode } from './systemd-node.ts';
import { waitFor } from './wait.ts';

export interface PodOptions {
  readonly name: string;
  readonly template: Workload['spec']['template'];
  /** Folder on the node by volume: what the kubelet would have fetched. Those not named are empty folders. */
  readonly volumes: Readonly<Record<string, string>>;
  /** Folder on the node with the service account's files, for pods that have them. */
  readonly serviceAccount?: string;
  /** The downward API's fields by their paths; `metadata.name`, the labels and the addresses are known. */
  readonly fields?: Readonly<Record<string, string>>;
}

/** A pod that runs on a node. */
export interface Pod {
  /** What a container has said so far, both streams. */
  log(container: string): Promise<string>;
  /** Runs a command in a container, as a probe does. */
  exec(container: string, command: readonly string[]): Promise<{ readonly code: number; readonly output: string }>;
  /** The exit code; undefined while it runs. */
  exitCode(container: string): Promise<number | undefined>;
  /** SIGTERM to all containers, SIGKILL after 20 s, and away with it. */
  delete(): Promise<void>;
}

/** CONTAINER_EXITED. */
const exited = 2;
const serviceAccountFolder = '/var/run/secrets/kubernetes.io/serviceaccount';
const api = { KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: '6443' };

/**
 * Does for a pod what the kubelet does, with the node's own runtime: volumes, downward API, security contexts, init containers one
 * after the other, then the containers. Not done: limits of resources, probes, restarts; and every pod has the node's network.
 */
export async function startPod(node: DebianNode, cri: CriClient, options: PodOptions): Promise<Pod> {
  const { name, template } = options;
  const { spec } = template;
  const logs = `/var/log/pods/${name}`;
  await mkdir(path.join(node.root, logs), { recursive: true });
  const namespaces = { network: 'NODE', pid: spec.hostPID === true ? 'NODE' : 'CONTAINER', ipc: 'POD' };
  const privileged = spec.containers.some(({ securityContext }) => securityContext?.privileged === true);
  const sandbox = {
    metadata: { name, namespace: 'shoal', uid: name },
    log_directory: logs,
    linux: { security_context: { namespace_options: namespaces, privileged } },
  };
  const { pod_sandbox_id: pod } = await cri.runtime<{ pod_sandbox_id: string }>('RunPodSandbox', { config: sandbox });
  const folders = await makeVolumes(node, options);
  const fields = fieldsOf(options);
  const ids = new Map<string, string>();

  const begin = async (container: Container): Promise<void> => {
    const envs = environmentOf(container, fields);
    const folderOf = async ({ name: volume, subPathExpr = '' }: VolumeMount): Promise<string> => {
      const whole = folders.get(volume) ?? '';
      const folder = path.join(whole, expanded(subPathExpr, envs));
      await node.run('sh', '-c', '[ -e "$1" ] || { mkdir "$1" && chmod --reference="$0" "$1"; }', whole, folder);
      return folder;
    };
    const mounts = (container.volumeMounts ?? []).map(async (mount) => ({
      container_path: mount.mountPath,
      host_path: await folderOf(mount),
      readonly: mount.readOnly ?? false,
    }));
    const account = spec.automountServiceAccountToken === false ? undefined : options.serviceAccount;
    const config = {
      metadata: { name: container.name },
      image: { image: container.image },
      command: container.command,
      envs: Object.entries(envs).map(([key, value]) => ({ key, value })),
      mounts: [
        ...(await Promise.all(mounts)),
        ...(account === undefined
          ? []
          : [{ container_path: serviceAccountFolder, host_path: account, readonly: true }]),
      ],
      log_path: `${container.name}.log`,
      linux: { security_context: securityOf(container, spec, namespaces) },
    };
    const request = { pod_sandbox_id: pod, config, sandbox_config: sandbox };
    const { container_id } = await cri.runtime<{ container_id: string }>('CreateContainer', request);
    ids.set(container.name, container_id);
    await cri.runtime('StartContainer', { container_id });
  };
  const idOf = (container: string): string => {
    const id = ids.get(container);
    if (id === undefined) throw new Error(`${name} has no container ${container}`);
    return id;
  };
  const exitCode = async (container: string): Promise<number | undefined> => {
    const request = { container_id: idOf(container) };
    const { status } = await cri.runtime<{ status: { state: number; exit_code: number } }>('ContainerStatus', request);
    return status.state === exited ? status.exit_code : undefined;
  };
  const log = async (container: string): Promise<string> =>
    // <time> <stream> <F or P> <text>
    (await readFile(path.join(node.root, logs, `${container}.log`), 'utf8').catch(() => ''))
      .split('\n')
      .map((line) => line.split(' ').slice(3).join(' '))
      .join('\n');

  for (const container of spec.initContainers ?? []) {
    await begin(container);
    const code = await waitFor(async () => (await exitCode(container.name))?.toString(), { what: container.name });
    if (code !== '0') throw new Error(`${name}: ${container.name}: exit code ${code}\n${await log(container.name)}`);
  }
  for (const container of spec.containers) await begin(container);
  return {
    log,
    exitCode,
    async exec(container, command) {
      const request = { container_id: idOf(container), cmd: command, timeout: 30 };
      const answer = await cri.runtime<{ stdout: Buffer; stderr: Buffer; exit_code: number }>('ExecSync', request);
      return { code: answer.exit_code, output: `${answer.stdout}${answer.stderr}` };
    },
    async delete() {
      for (const container_id of ids.values()) await cri.runtime('StopContainer', { container_id, timeout: 20 });
      await cri.runtime('StopPodSandbox', { pod_sandbox_id: pod });
      await cri.runtime('RemovePodSandbox', { pod_sandbox_id: pod });
    },
  };
}

/** The folder of each volume on the node. With `fsGroup` what is no hostPath is the group's. */
async function makeVolumes(node: DebianNode, { name, template, volumes }: PodOptions): Promise<Map<string, string>> {
  const { spec } = template;
  const folderOf = async (volume: Volume): Promise<string> => {
    if (volume.hostPath !== undefined) return volume.hostPath.path;
    const given = volumes[volume.name];
    const folder = given ?? `/var/lib/pods/${name}/${volume.name}`;
    await node.run('mkdir', '-p', folder);
    if (given === undefined) await node.run('chmod', '2777', folder);
    const group = spec.securityContext?.fsGroup;
    if (group !== undefined) {
      await node.run('chgrp', '-R', String(group), folder);
      await node.run('chmod', '-R', 'g+rX', folder);
    }
    return folder;
  };
  const folders = new Map<string, string>();
  for (const volume of spec.volumes ?? []) folders.set(volume.name, await folderOf(volume));
  return folders;
}

function fieldsOf({ name, template, fields }: PodOptions): Readonly<Record<string, string>> {
  const labels = Object.entries(template.metadata.labels).map(([key, value]) => [`metadata.labels['${key}']`, value]);
  const addresses = { 'status.podIP': '127.0.0.1', 'status.podIPs': '127.0.0.1' };
  return { 'metadata.name': name, ...addresses, ...Object.fromEntries(labels), ...fields };
}

function environmentOf(container: Container, fields: Readonly<Record<string, string>>): Record<string, string> {
  const envs: Record<string, string> = { ...api };
  for (const { name, value, valueFrom } of container.env ?? []) {
    const field = valueFrom?.fieldRef?.fieldPath;
    const text = field === undefined ? value : fields[field];
    if (text === undefined) throw new Error(`${container.name}: nobody knows ${field ?? `the value of ${name}`}`);
    envs[name] = expanded(text, envs);
  }
  return envs;
}

/** `$(NAME)` is replaced where the name is known. */
function expanded(text: string, envs: Readonly<Record<string, string>>): string {
  return text.replace(/\$\((\w+)\)/g, (whole, name: string) => envs[name] ?? whole);
}

function securityOf(
  { securityContext = {} }: Container,
  { securityContext: pod }: PodSpec,
  namespaces: object,
): object {
  return {
    namespace_options: namespaces,
    privileged: securityContext.privileged ?? false,
    ...(securityContext.runAsUser === undefined ? {} : { run_as_user: { value: securityContext.runAsUser } }),
    readonly_rootfs: securityContext.readOnlyRootFilesystem ?? false,
    no_new_privs: securityContext.allowPrivilegeEscalation === false,
    capabilities: { drop_capabilities: securityContext.capabilities?.drop ?? [] },
    supplemental_groups: pod?.fsGroup === undefined ? [] : [pod.fsGroup],
    seccomp: {
      profile_type: securityContext.seccompProfile?.type === 'RuntimeDefault' ? 'RuntimeDefault' : 'Unconfined',
    },
  };
}
