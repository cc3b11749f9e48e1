import { ok, problem, skipped, warning } from './findings.ts';
import { type KubeletFacts, type KubeletFile, type KubeletKind, kubeadmConfig, readKubelet } from './kubelet-facts.ts';
import type { Check, Finding } from './types.ts';

const about = 'image endpoint';
const installer = '/opt/shoal/current/bootstrap.sh install';

/** Whether the kubelet asks Shoal for images. */
export const kubeletCheck: Check = {
  group: 'kubelet',
  about,
  boundMs: 10_000,
  run: async ({ root, config }) => judgeKubelet(await readKubelet(root), config.listen),
};

/** `listen`: Shoal's socket. */
export function judgeKubelet(facts: KubeletFacts, listen: string): Finding[] {
  const { running, files, flagFiles, kind } = facts;
  const unreadable = [...files, ...flagFiles].filter(({ problem }) => problem !== undefined);
  const findings = unreadable.map(({ file, problem: reason }) =>
    skipped(`file ${file}`, `can't be read: ${reason}`, 'run this as root, or mend the file'),
  );
  if (running === undefined && files.length === 0 && flagFiles.length === 0) {
    return [skipped(about, `no kubelet runs here, and there is no ${kubeadmConfig}`)];
  }
  if (running === undefined) {
    const unit = { kubelet: 'kubelet', k3s: 'k3s, k3s-agent', rke2: 'rke2-agent, rke2-server' }[kind];
    findings.push(
      warning('kubelet', 'none runs; below is what its files say', `systemctl status ${unit.replaceAll(',', '')}`),
    );
  }
  return [...findings, ...judgeRuntimeEndpoint(facts, listen), ...judgeImageEndpoint(facts, listen)];
}

interface Setting {
  readonly endpoint: string;
  readonly where: string;
  readonly changedAt?: number;
}

function judgeImageEndpoint(facts: KubeletFacts, listen: string): Finding[] {
  const { running, kind } = facts;
  const wanted = `unix://${listen}`;
  const set = settingOf(facts, 'imageEndpoint');
  const pending = facts.flagFiles.find(({ imageEndpoint }) => isSocket(imageEndpoint, listen));
  if (set === undefined || !isSocket(set.endpoint, listen)) {
    if (running !== undefined && pending !== undefined) {
      const says = `${pending.file} names Shoal's socket, but the kubelet that runs (process ${running.pid}) was started without it`;
      return [problem(about, says, 'systemctl restart kubelet')];
    }
    return [set === undefined ? unset(facts, wanted) : foreign(set, wanted, kind)];
  }
  const { where, changedAt } = set;
  // A second: file systems and /proc count time differently.
  if (running?.startedAt !== undefined && changedAt !== undefined && changedAt > running.startedAt + 1000) {
    const says = `${where} names Shoal's socket, but was changed after the kubelet (process ${running.pid}) had started: it may not know yet`;
    return [warning(about, says, `systemctl restart ${unitOf(kind)}`)];
  }
  return [ok(about, `${set.endpoint} (${where})`)];
}

function unset({ running, mirrorAlone, kind, files }: KubeletFacts, wanted: string): Finding {
  const who = running === undefined ? 'the kubelet would ask' : `the kubelet (process ${running.pid}) asks`;
  if (mirrorAlone) {
    return warning(
      about,
      `${who} the runtime, because Shoal was installed with --kubelet none: pods' pull secrets don't reach Shoal, so private images are not accelerated`,
      `${installer}, unless it is meant to be so`,
    );
  }
  const byHand = {
    kubelet: `imageServiceEndpoint: ${wanted} in ${files[0]?.file ?? 'the file of --config'} (before 1.27: --image-service-endpoint=${wanted}), then systemctl restart kubelet`,
    k3s: `kubelet-arg+: [image-service-endpoint=${wanted}] in /etc/rancher/k3s/config.yaml.d/90-shoal.yaml, then restart k3s`,
    rke2: `kubelet-arg+: [image-service-endpoint=${wanted}] in /etc/rancher/rke2/config.yaml.d/90-shoal.yaml, then restart rke2`,
  }[kind];
  return problem(
    about,
    `${who} the runtime, not Shoal: no image service endpoint is set`,
    `${installer}\nby hand: ${byHand}`,
  );
}

function foreign({ endpoint, where }: Setting, wanted: string, kind: KubeletKind): Finding {
  return problem(
    about,
    `${endpoint} (${where}), which is not Shoal's socket ${wanted}`,
    `name ${wanted} there and restart ${unitOf(kind)}, or set listen to that path if it is meant to be Shoal's`,
  );
}

/** Shoal serves images alone; pods and containers are the runtime's. */
function judgeRuntimeEndpoint(facts: KubeletFacts, listen: string): Finding[] {
  const set = settingOf(facts, 'runtimeEndpoint');
  if (set === undefined || !isSocket(set.endpoint, listen)) return [];
  return [
    problem(
      'runtime endpoint',
      `${set.endpoint} (${set.where}) is Shoal's socket, which serves images alone: no pod can start`,
      "name the runtime's socket there (containerRuntimeEndpoint), and Shoal's in imageServiceEndpoint",
    ),
  ];
}

/** What the kubelet goes by: its flag before its files, of these the last. */
function settingOf({ running, files, flagFiles }: KubeletFacts, key: 'imageEndpoint' | 'runtimeEndpoint') {
  const flagged = running?.[key];
  if (running && flagged !== undefined) return { endpoint: flagged, where: `flag of process ${running.pid}` };
  // Without a kubelet that runs, the environment's flags are what it will be started with.
  const candidates: readonly KubeletFile[] = running === undefined ? [...files, ...flagFiles] : files;
  const file = candidates.findLast((each) => each[key] !== undefined);
  if (file === undefined) return undefined;
  const { changedAt } = file;
  return { endpoint: file[key] ?? '', where: file.file, ...(changedAt !== undefined && { changedAt }) } as Setting;
}

/** Whether an endpoint is this socket: with or without a scheme, and by either name of /run. */
export function isSocket(endpoint: string | undefined, socket: string): boolean {
  const plain = (text: string) => text.replace(/^unix:(\/\/)?/, '').replace(/^\/var\/run\//, '/run/');
  return endpoint !== undefined && plain(endpoint) === plain(socket);
}

function unitOf(kind: KubeletKind): string {
  return { kubelet: 'kubelet', k3s: 'k3s (or k3s-agent)', rke2: 'rke2-agent (or rke2-server)' }[kind];
}
