import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { initAuthority } from '../../src/swarm/tls/authority.ts';
import { type Labels, named, ofKind, type Workload, workloads } from './chart-objects.ts';
import type { CriClient } from './cri-client.ts';
import { type Manifest, type Rendered, renderChart } from './helm.ts';
import { startImageBuilder } from './image.ts';
import { packageFolder, packageLike, packageName } from './package.ts';
import { type Pod, startPod } from './pods.ts';
import { type RunningRegistry, startRegistry } from './registry.ts';
import { Scope } from './scope.ts';
import { type DebianNode, pauseImage, startSystemdNode } from './systemd-node.ts';
import { temporaryFolder } from './temp.ts';

/** The chart's image of the package, and of another version of it, and the sandboxes'. */
export interface ChartImages {
  /** A registry's folder that has them. */
  readonly root: string;
  readonly version: string;
  /** Bytes that the image adds to its base, compressed. */
  readonly addedBytes: number;
}

/** Builds the images: the package as it is, and as version `next`. */
export async function buildChartImages(scope: Scope, next: string): Promise<ChartImages> {
  const name = await packageName();
  const [, version = '', platform = ''] = /^shoal-(.+)-(linux-\w+)$/.exec(name) ?? [];
  const others = await temporaryFolder(scope, 'packages');
  await packageLike(path.join(packageFolder, name), path.join(others, `shoal-${next}-${platform}`), next);
  const root = await temporaryFolder(scope, 'images');
  const inner = new Scope();
  try {
    const builder = await startImageBuilder(inner);
    const registry = await startRegistry({ root });
    inner.defer(() => registry.stop());
    const image = await builder.shoal(packageFolder, version);
    await builder.push(image, `${registry.host}/shoal:${version}`);
    await builder.push(await builder.shoal(others, next), `${registry.host}/shoal:${next}`);
    await builder.push(await builder.pause(), `${registry.host}/pause:1`);
    return { root, version, addedBytes: (await layersOf(registry, version)).at(-1) ?? 0 };
  } finally {
    await inner.close();
  }
}

async function layersOf(registry: RunningRegistry, version: string): Promise<readonly number[]> {
  const accept = 'application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json';
  const answer = await fetch(`${registry.url}/v2/shoal/manifests/${version}`, { headers: { accept } });
  const { layers } = (await answer.json()) as { readonly layers: readonly { readonly size: number }[] };
  return layers.map(({ size }) => size);
}

/** A node of a cluster for which the chart was rendered. There is no cluster: the test says which pods run. */
export interface ChartNode {
  readonly node: DebianNode;
  /** The runtime's own socket. */
  readonly cri: CriClient;
  /** Has the runtime pull Shoal's image of that version. */
  pull(version: string): Promise<void>;
  render(version: string, ...set: string[]): Promise<Rendered>;
  /** Starts the pod of the workload whose name ends so; `labels` go over the template's. */
  start(rendered: Rendered, workload: string, pod: string, labels?: Labels): Promise<Pod>;
}

/** A node with a registry that has the images; the volumes' contents are as the chart's objects have them. */
export async function startChartNode(scope: Scope, images: ChartImages): Promise<ChartNode> {
  const node = await startSystemdNode(scope);
  const cri = node.cri('run/containerd/containerd.sock');
  const registry = await startRegistry({ root: images.root, prefix: node.network });
  scope.defer(() => registry.stop());
  await cri.pullImage(`${registry.host}/pause:1`);
  await node.run('ctr', '--namespace=k8s.io', 'images', 'tag', `${registry.host}/pause:1`, pauseImage);

  const here = (...names: string[]): string => path.join(node.root, ...names);
  const put = async (folder: string, files: Readonly<Record<string, string>>): Promise<void> => {
    await mkdir(here(folder), { recursive: true });
    for (const [name, text] of Object.entries(files)) await writeFile(here(folder, name), text, { mode: 0o440 });
  };
  const volumes = '/var/lib/volumes';
  await mkdir(here(volumes), { recursive: true });
  await initAuthority({ directory: here(volumes, 'authority') });
  const token = 'a-token';
  await put(`${volumes}/kubernetes`, { 'kubernetes-token': token, 'kubernetes-ca.crt': 'a certificate' });
  await put(`${volumes}/account`, { token, 'ca.crt': 'a certificate', namespace: 'shoal' });
  return {
    node,
    cri,
    pull: async (version) => {
      await cri.pullImage(`${registry.host}/shoal:${version}`);
    },
    render: (version, ...set) =>
      renderChart({
        namespace: 'shoal',
        set: [`image.repository=${registry.host}/shoal`, `image.tag=${version}`, ...set],
      }),
    async start(rendered, workload, pod, labels = {}) {
      const { template }: Workload['spec'] = named(workloads(rendered), `-${workload}`).spec;
      const mapOf = (end: string) => (named(ofKind(rendered, 'ConfigMap'), end) as Manifest & { data: Labels }).data;
      const [config, scripts] = [`${volumes}/${pod}/config`, `${volumes}/${pod}/scripts`];
      await put(config, mapOf(`-${workload}`));
      await put(scripts, mapOf('-scripts'));
      return await startPod(node, cri, {
        name: pod,
        template: { ...template, metadata: { labels: { ...template.metadata.labels, ...labels } } },
        volumes: { config, scripts, authority: `${volumes}/authority`, kubernetes: `${volumes}/kubernetes` },
        serviceAccount: `${volumes}/account`,
        fields: { 'spec.nodeName': 'node-1' },
      });
    },
  };
}
