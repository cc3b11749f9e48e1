import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { PeerView } from '../../src/agent/observation.ts';
import { packageRoot } from '../../src/paths.ts';
import { openPage, startBrowser } from '../harness/browser.ts';
import { type Cluster, type ClusterNode, startCluster } from '../harness/cluster.ts';
import { e2eImages } from '../harness/image-registry.ts';
import { Scope } from '../harness/scope.ts';

/** `make screenshots` has them written into the docs. */
async function screenshot(page: Page, name: string, selector?: string): Promise<void> {
  if (process.env.SCREENSHOTS === undefined) return;
  const folder = path.join(packageRoot, 'docs/images');
  await mkdir(folder, { recursive: true });
  const file = path.join(folder, `${name}.png`);
  if (selector === undefined) await page.screenshot({ path: file, fullPage: true });
  else await page.locator(selector).screenshot({ path: file });
}

const images = { layered: e2eImages.layered, mixed: e2eImages.mixed };

/** For what takes the page's next look. The strict Content-Security-Policy lets no test wait inside the page. */
const patient = { timeout: 30_000 };

/** The page of a node of a real swarm, with real pulls, in a real browser. */
describe('the status page', () => {
  const scope = new Scope();
  let cluster: Cluster<keyof typeof images>;
  let node: ClusterNode;
  let browser: Browser;

  beforeAll(async () => {
    cluster = await startCluster(scope, { images, nodes: 3 });
    const [first, ...others] = cluster.nodes;
    if (first === undefined) throw new Error('the cluster has no node');
    node = first;
    for (const other of others) await cluster.pull(other, 'layered');
    await cluster.pull(node, 'layered');
    await cluster.pull(node, 'mixed');
    await node.agent.cri.pullImage(`${cluster.origin.host}/layered:missing`).catch(() => undefined);
    browser = await startBrowser(scope, node.host.prefix);
  });
  afterAll(() => scope.close());

  const open = (options?: Parameters<typeof openPage>[2]) => openPage(browser, node.agent.telemetryUrl, options);

  test('shows the pulls, where their bytes came from, and takes one apart', async () => {
    const { page, troubles } = await open();
    const rows = page.locator('#pull-rows > tr:not([hidden])');
    expect(await rows.count()).toBe(3);
    expect(await page.locator('#state').textContent()).toMatch(/^ready/);
    expect(await page.locator('#avoided').textContent()).toMatch(/^\d+\.\d MiB$/);
    const oldest = page.locator('button.image').last();
    expect(await oldest.textContent()).toBe(cluster.image('layered'));
    await oldest.click();
    await page.waitForSelector('.layer .map');
    const content = await cluster.content('layered');
    // The layers and the config.
    expect(await page.locator('.layer').count()).toBe(new Set(content.layers.map(({ digest }) => digest)).size + 1);
    expect(await page.locator('.layer .map rect.peer').count()).toBeGreaterThan(0);
    expect(await page.locator('#failure-rows').textContent()).toContain('layered:missing');
    await screenshot(page, 'status-page');
    await screenshot(page, 'status-page-pull', '#pull-table');
    expect(troubles).toEqual([]);
    await page.close();
  });

  test('shows a pull while it is under way', async () => {
    const { page, troubles } = await open();
    await cluster.forget(node, 'layered');
    const pulled = cluster.pull(node, 'layered');
    await page.waitForSelector('#pull-rows > tr:nth-of-type(7)', { timeout: 60_000, state: 'attached' });
    await pulled;
    await expect.poll(() => page.locator('#pull-rows td.ok').count(), patient).toBe(3);
    expect(troubles).toEqual([]);
    await page.close();
  });

  test('shows the other nodes, and finds one by its name', async () => {
    const { page, troubles } = await open();
    await page.waitForSelector('#peer-rows tr');
    expect(await page.locator('#peer-rows tr').count()).toBe(3);
    await page.locator('#peer-filter').fill(cluster.nodes[2]?.host.address ?? '');
    await expect.poll(() => page.locator('#peer-rows tr').count(), patient).toBe(1);
    expect(troubles).toEqual([]);
    await page.close();
  });

  test('says of what it shows that it is old, or not known, while the engine does not answer', async () => {
    const { page } = await open();
    expect(await page.locator('#stale').isVisible()).toBe(false);
    const engine = await node.agent.enginePid();
    process.kill(engine, 'SIGSTOP');
    try {
      await expect.poll(() => page.locator('#stale').textContent(), patient).toMatch(/^What follows is what .* at 2/);
      expect(await page.locator('#pull-rows > tr').count()).toBeGreaterThan(0);
      const fresh = await open();
      expect(await fresh.page.locator('#stale').textContent()).toContain('nothing is known');
      expect(await fresh.page.locator('#no-pulls').isVisible()).toBe(false);
      expect(await fresh.page.locator('#state').textContent()).toMatch(/^not ready/);
      await fresh.page.close();
    } finally {
      process.kill(engine, 'SIGCONT');
    }
    await expect.poll(() => page.locator('#stale').isVisible(), patient).toBe(false);
    await page.close();
  });

  test('can be used by keyboard alone', async () => {
    const { page } = await open();
    await page.keyboard.press('Tab');
    expect(await page.evaluate('document.activeElement.className')).toBe('skip');
    await page.keyboard.press('Enter');
    await page.keyboard.press('Tab');
    expect(await page.evaluate('document.activeElement.className')).toBe('image');
    await page.keyboard.press('Enter');
    await page.waitForSelector('button.image[aria-expanded="true"]:focus');
    await page.close();
  });

  test('is light or dark, as the system or the person wants it', async () => {
    const { page } = await open({ dark: true });
    const paper = () => page.evaluate('getComputedStyle(document.body).backgroundColor');
    expect(await paper()).toBe('rgb(20, 25, 31)');
    await page.locator('#theme').click();
    expect(await page.locator('#theme').textContent()).toBe('Theme: light');
    expect(await paper()).toBe('rgb(255, 255, 255)');
    await page.reload();
    expect(await paper()).toBe('rgb(255, 255, 255)');
    await page.close();
  });

  test('fits a narrow screen', async () => {
    const { page } = await open({ width: 400 });
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(400);
    await page.close();
  });

  test('draws a thousand nodes', async () => {
    const peers: PeerView[] = Array.from({ length: 1000 }, (_, at) => ({
      id: `node-${at}`,
      zone: `zone-${'abc'[at % 3]}`,
      role: at % 100 === 1 ? 'mirror' : 'agent',
      self: at === 0,
      state: at % 50 === 7 ? 'suspect' : 'reachable',
      address: `10.0.${Math.floor(at / 250)}.${at % 250}:65001`,
      received: at % 9 === 1 ? at * 100_000 : 0,
      sent: at % 7 === 3 ? at * 50_000 : 0,
    }));
    const { page, troubles } = await open({ routes: { '/api/peers': peers } });
    await expect.poll(() => page.locator('#peer-rows tr').count(), patient).toBe(50);
    expect(await page.locator('#peer-rest').textContent()).toBe('and 950 more');
    // Something is painted all around the middle, in every quarter.
    const painted = await page.evaluate(`(() => {
      const { width, height } = document.querySelector('canvas');
      const { data } = document.querySelector('canvas').getContext('2d').getImageData(0, 0, width, height);
      const quarters = [false, false, false, false];
      for (let at = 3; at < data.length; at += 4) {
        const [x, y] = [((at - 3) / 4) % width, Math.floor((at - 3) / 4 / width)];
        if (data[at] > 0) quarters[(y < height / 2 ? 0 : 2) + (x < width / 2 ? 0 : 1)] = true;
      }
      return quarters;
    })()`);
    expect(painted).toEqual([true, true, true, true]);
    await screenshot(page, 'status-page-swarm', '#swarm-view');
    expect(troubles).toEqual([]);
    await page.close();
  });
});
