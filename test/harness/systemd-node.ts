import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { CriClient } from './cri-client.ts';
import { packageFolder, packageName } from './package.ts';
import { type Command, childrenOf, type RunResult, run, runAnyway, start } from './process.ts';
import type { Scope } from './scope.ts';
import { temporaryFolder } from './temp.ts';

const repository = path.resolve(import.meta.dirname, '../..');
const namespaces = ['--mount', '--pid', '--net', '--uts', '--ipc'];
/** A Debian 12 with systemd, containerd and nothing else, in namespaces of its own. Its network has loopback alone. */
export interface SystemdNode {
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

/** Starts a node, and in it containerd, which reads its registries' configuration from /etc/containerd/certs.d. */
export async function startSystemdNode(scope: Scope): Promise<SystemdNode> {
  await run([path.join(repository, 'scripts/debian-root')], { timeoutMs: 600_000 });
  const top = await temporaryFolder(scope, 'node');
  const unshare: Command = ['unshare', ...namespaces, '--fork', '--kill-child'];
  const boot = path.join(import.meta.dirname, 'systemd-node.sh');
  const tree = path.join(repository, '.cache/debian-12');
  const outer = await start(scope, 'systemd', [...unshare, boot, top, tree, repository], { graceMs: 0 });
  const init = await outer.until(async () => (await childrenOf(outer.pid))[0], { what: 'process 1' });
  const root = `/proc/${init}/root`;
  const enter: Command = ['nsenter', `--target=${init}`, ...namespaces, '--root', `--wd=${root}`, '--'];
  await outer.until(
    async () => /^(running|degraded)$/m.test((await runAnyway([...enter, 'systemctl', 'is-system-running'])).stdout),
    {
      what: 'a booted system',
    },
  );
  const node: SystemdNode = {
    root,
    network: ['nsenter', `--target=${init}`, '--net', '--'],
    run: (...command) => run([...enter, ...command]),
    runAnyway: (...command) => runAnyway([...enter, ...command]),
    cri: (socket) => new CriClient(scope, path.join(root, socket)),
  };
  const containerd = '[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = "/etc/containerd/certs.d"\n';
  await mkdir(path.join(root, 'etc/containerd'), { recursive: true });
  await writeFile(path.join(root, 'etc/containerd/config.toml'), `version = 2\n${containerd}`);
  await node.run('systemctl', 'restart', 'containerd.service');
  return node;
}

/** Puts a program that does at its start what the kubelet does in the kubelet's place, with kubeadm's configuration. */
export async function startKubelet(node: SystemdNode): Promise<void> {
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

/** The package that `make package` made and left unpacked, as the node sees it. */
export async function builtPackage(): Promise<string> {
  return path.join('/src', path.relative(repository, packageFolder), await packageName());
}

/** A package in the node like `from`, with another version and, before its program, `sabotage`. Gives its folder. */
export async function otherPackage(node: SystemdNode, from: string, version: string, sabotage = ''): Promise<string> {
  const folder = `/var/tmp/shoal-${version}`;
  await node.run('cp', '-R', from, folder);
  const manifest = path.join(node.root, folder, 'package.json');
  await writeFile(manifest, JSON.stringify({ ...JSON.parse(await readFile(manifest, 'utf8')), version }, null, 2));
  const program = path.join(node.root, folder, 'dist/main.js');
  const text = await readFile(program, 'utf8');
  // Behind the line that tells the system what the file is.
  await writeFile(
    program,
    text.replace(/^(#!.*\n)?/, (first) => `${first}${sabotage}\n`),
  );
  const files = "find . -type f ! -name SHA256SUMS -printf '%P\\n' | sort | xargs sha256sum >SHA256SUMS";
  await node.run('sh', '-c', `cd ${folder} && ${files}`);
  return folder;
}
