import { chmod, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';
import type { Command } from './process.ts';
import { runBy } from './process.ts';
import type { Scope } from './scope.ts';
import { temporaryFolder } from './temp.ts';

/** Nothing but the page: no updates, no telemetry of its own, no QUIC. */
const quiet = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** Debian's Chromium, gone when the scope closes. `prefix`: runs it in a network namespace. */
export async function startBrowser(scope: Scope, prefix?: Command): Promise<Browser> {
  const folder = await temporaryFolder(scope, 'browser');
  const wrapper = path.join(folder, 'chromium');
  await writeFile(wrapper, `#!/bin/sh\nexec ${runBy(prefix, ['/usr/bin/chromium']).join(' ')} "$@"\n`);
  await chmod(wrapper, 0o755);
  const browser = await chromium.launch({ executablePath: wrapper, args: quiet, timeout: 120_000 });
  scope.defer(() => browser.close());
  return browser;
}

/** A page whose every error, blocked resource and foreign request is noted. */
export interface WatchedPage {
  readonly page: Page;
  readonly troubles: readonly string[];
}

export async function openPage(
  browser: Browser,
  url: string,
  options: {
    readonly dark?: boolean;
    readonly width?: number;
    readonly routes?: Readonly<Record<string, unknown>>;
  } = {},
): Promise<WatchedPage> {
  const page = await browser.newPage({
    viewport: { width: options.width ?? 1200, height: 900 },
    colorScheme: options.dark === true ? 'dark' : 'light',
  });
  const troubles: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') troubles.push(message.text());
  });
  page.on('pageerror', (error) => troubles.push(error.message));
  page.on('request', (request) => {
    if (!request.url().startsWith(url)) troubles.push(`asks ${request.url()}`);
  });
  for (const [path, value] of Object.entries(options.routes ?? {})) {
    await page.route(`**${path}`, (route) => route.fulfill({ json: value }));
  }
  await page.goto(url, { timeout: 60_000 });
  await page.waitForSelector('body[data-looks]', { timeout: 60_000 });
  return { page, troubles };
}
