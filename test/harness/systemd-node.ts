import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { CriClient } from './cri-client.ts';
import { packageFolder, packageLike, packageName } from './package.ts';
import { type Command, childrenOf, type RunningProcess, type RunResult, run, runAnyway, start } from './process.ts';
import type { Scope } from './scope.ts';
import { temporaryFolder } from './temp.ts';
import { waitFor } from './wait.ts';

const repository = path.resolve(import.meta.dirname, '../..');
const namespaces = ['--mount', '--pid', '--net', '--uts', '--ipc'];
/** A Debian 12 with containerd and nothing else, in namespaces of its own. Its network has loopback alone. */
export interface DebianNode {
  /** The node's root folder, seen from here. */
  readonly root: string;
  /** Goes before a command that is to run in the node's network. */
  readonly network: Command;
  /** Runs a command as the node's root. */
  run(...command: [string, ...string[]]): Promise<string>;
  runAnyway(...command: [string, ...string[]]): Promise<RunResult>;
  /** A kubelet's client of one of the node's sockets. */
  cri(socket: string): CriClient;
}

/** The image of a pod's sandbox, where a test has pods. */
export const pauseImage = 'localhost/pause:1';

// Where this machine's root may not lower a process' OOM score, nor may the node's.
const containerdConfig = `version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${pauseImage}"
  restrict_oom_score_adj = true
  disable_cgroup = true
[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "/etc/containerd/certs.d"
`;

const systemd: Command = [
  '/lib/systemd/systemd',
  '--log-target=console',
  '--show-status=no',
  '--unit=multi-user.target',
];

/** Starts a node with systemd, and in it containerd, which reads its registries' configuration from /etc/containerd/certs.d. */
export async function startSystemdNode(scope: Scope): Promise<DebianNode> {
  const { node, outer } = await boot(scope, systemd);
  await outer.until(
    async () => /^(running|degraded)$/m.test((await node.runAnyway('systemctl', 'is-system-running')).stdout),
    { what: 'a booted system' },
  );
  await mkdir(path.join(node.root, 'etc/containerd'), { recursive: true });
  await writeFile(path.join(node.root, 'etc/containerd/config.toml'), containerdConfig);
  await node.run('systemctl', 'restart', 'containerd.service');
  return node;
}

/** The same without systemd: an init that knows containerd and the agent, and nothing of bootstrap.sh. */
export async function startPlainNode(scope: Scope): Promise<DebianNode> {
  const { node, outer } = await boot(scope, ['/bin/sh', '/src/test/harness/plain-init.sh', containerdConfig]);
  const cri = node.cri('run/containerd/containerd.sock');
  await outer.until(async () => (await cri.version()).runtime_name === 'containerd', { what: 'containerd' });
  return node;
}

/** Starts `init` as process 1 of a node. */
async function boot(scope: Scope, init: Command): Promise<{ node: DebianNode; outer: RunningProcess }> {
  await run([path.join(repository, 'scripts/debian-root')], { timeoutMs: 600_000 });
  const top = await temporaryFolder(scope, 'node');
  const unshare: Command = ['unshare', ...namespaces, '--fork', '--kill-child'];
  const script = path.join(import.meta.dirname, 'boot-node.sh');
  const tree = path.join(repository, '.cache/debian-12');
  const outer = await start(scope, 'node', [...unshare, script, top, tree, repository, ...init], { graceMs: 0 });
  const pid = await outer.until(async () => (await childrenOf(outer.pid))[0], { what: 'process 1' });
  const root = `/proc/${pid}/root`;
  const isBooted = async (): Promise<boolean> =>
    (await readFile(path.join(root, 'etc/hostname'), 'utf8')) === 'shoal-node\n' &&
    !(await readdir(root)).includes('outside');
  await outer.until(isBooted, { what: 'a root folder of its own' });
  const enter: Command = ['nsenter', `--target=${pid}`, ...namespaces, '--root', `--wd=${root}`, '--'];
  await writeFile(path.join(root, 'etc/hosts'), '127.0.0.1 localhost\n');
  const node: DebianNode = {
    root,
    network: ['nsenter', `--target=${pid}`, '--net', '--'],
    run: (...command) => run([...enter, ...command]),
    runAnyway: (...command) => runAnyway([...enter, ...command]),
    cri: (socket) => new CriClient(scope, path.join(root, socket)),
  };
  return { node, outer };
}

/** Installs the package on a node without systemd: places it, and, when the node's init has started the agent, ends the installation. */
export async function installUnderInit(node: DebianNode, folder: string): Promise<void> {
  const install = () => node.run('/bin/sh', `${folder}/bootstrap.sh`, 'install', '--kubelet', 'none');
  const socket = path.join(node.root, 'run/shoal/shoal.sock');
  await install();
  await waitFor(async () => (await stat(socket)).isSocket(), { what: "the agent's socket", timeoutMs: 60_000 });
  await install();
}

/** Puts a program that does at its start what the kubelet does in the kubelet's place, with kubeadm's configuration. */
export async function startKubelet(node: DebianNode): Promise<void> {
  await mkdir(path.join(node.root, 'var/lib/kubelet'), { recursive: true });
  await writeFile(
    path.join(node.root, 'var/lib/kubelet/config.yaml'),
    'apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\ncgroupDriver: systemd\n',
  );
  await writeFile(path.join(node.root, 'usr/bin/kubelet'), '#!/bin/sh\necho Kubernetes v1.31.0\n', { mode: 0o755 });
  await writeFile(
    path.join(node.root, 'etc/systemd/system/kubelet.service'),
    `[Unit]
After=containerd.service
[Service]
ExecStart=/src/node_modules/.bin/node /src/test/harness/kubelet-main.ts /var/lib/kubelet/config.yaml
Restart=always
RestartSec=1
`,
  );
  await node.run('systemctl', 'daemon-reload');
  await node.run('systemctl', 'start', 'kubelet.service');
}

/** Whether the node's kubelet has said these words. */
export async function kubeletOf(node: DebianNode, words: string): Promise<boolean> {
  return (await node.run('journalctl', '--unit=kubelet', '--output=cat', '--no-pager')).includes(words);
}

/** Every path below where an installation writes: its kind, mode, owner and link, and each file's bytes. */
export async function treesOf(node: DebianNode): Promise<string> {
  const where = '/etc /opt /usr /var/lib/kubelet /var/lib/shoal /run/shoal /run/systemd/system';
  // What the engine makes and takes away while it runs.
  const skip = "\\( -path '/run/shoal/*' -o -path '/var/lib/shoal/cache/*' \\) -prune -o";
  const names = `find ${where} -xdev ${skip} -printf '%p %y %m %U:%G %l\\n' 2>/dev/null | sort`;
  const bytes = `find /etc /opt /var/lib/kubelet -xdev -type f -exec sha256sum {} + | sort`;
  return node.run('sh', '-c', `${names}; ${bytes}`);
}

/** The package that `make package` made and left unpacked, as the node sees it. */
export async function builtPackage(): Promise<string> {
  return path.join('/src', path.relative(repository, packageFolder), await packageName());
}

/** A package in the node like `from`, with another version and, before its program, `sabotage`. Gives its folder. */
export async function otherPackage(node: DebianNode, from: string, version: string, sabotage = ''): Promise<string> {
  const folder = `/var/tmp/shoal-${version}`;
  await packageLike(path.join(node.root, from), path.join(node.root, folder), version, sabotage);
  return folder;
}
