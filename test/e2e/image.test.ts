import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { buildChartImages, type ChartImages, type ChartNode, startChartNode } from '../harness/chart-node.ts';
import { Scope } from '../harness/scope.ts';
import { waitFor } from '../harness/wait.ts';

// The image that deploy/image/Dockerfile makes, and the chart's pods with it, run by a node's own containerd and runc.
const minutes = 60_000;
const MiB = 1024 * 1024;
const next = '9.0.0';

const all = new Scope();
let images: ChartImages;
beforeAll(async () => {
  images = await buildChartImages(all, next);
}, 10 * minutes);
afterAll(() => all.close());

test('the image adds little more than the package to its base', () => {
  console.log(`the image adds ${(images.addedBytes / MiB).toFixed(1)} MiB to its base`);
  expect(images.addedBytes).toBeLessThan(60 * MiB);
});

let scope: Scope;
let cluster: ChartNode;
beforeEach(async () => {
  scope = new Scope();
  cluster = await startChartNode(scope, images);
  await cluster.pull(images.version);
}, 10 * minutes);
afterEach(() => scope.close());

test.each(['scheduler', 'registry-mirror'])(
  'the %s runs as a user without rights',
  { timeout: 5 * minutes },
  async (role) => {
    const plus = ['p2p.plusMode.enable=true', `registryMirror.capacity=${128 * MiB}`];
    const rendered = await cluster.render(images.version, ...plus);
    const pod = await cluster.start(rendered, role, `${role}-0`);
    const ready = async (): Promise<boolean> => (await pod.log(role)).includes('ready"}');
    await waitFor(ready, { what: `a ready ${role}`, timeoutMs: minutes });
    const lines = (await pod.log(role)).split('\n').filter(Boolean);
    for (const line of lines) expect(JSON.parse(line).level).toBeLessThan(50);
    const process = await pod.exec(role, ['grep', '-E', '^(Uid|CapEff|CapBnd|NoNewPrivs|Seccomp):', '/proc/1/status']);
    expect(process.output.replace(/\s+/g, ' ').trim()).toBe(
      'Uid: 65532 65532 65532 65532 CapEff: 0000000000000000 CapBnd: 0000000000000000 NoNewPrivs: 1 Seccomp: 2',
    );
    expect((await pod.exec(role, ['shoal', 'version'])).output).toContain(`shoal ${images.version} `);
    expect(await pod.exec(role, ['touch', '/opt/shoal/x'])).toMatchObject({ code: 1 });
    await pod.delete();
  },
);
