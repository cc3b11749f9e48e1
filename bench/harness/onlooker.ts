import { setTimeout as delay } from 'node:timers/promises';

// Looks at an agent as Prometheus and, with `page`, an open status page do (web/app.js), until it is killed:
// node onlooker.ts <telemetry URL> [page]

const [, , url = '', page] = process.argv;
/** Seconds. Prometheus' default is a minute; impatient people say 5. */
const scrapeEvery = 5;

async function ask(path: string): Promise<unknown> {
  const answer = await fetch(new URL(path, url));
  const body = await answer.text();
  return path.startsWith('/api') ? JSON.parse(body) : undefined;
}

for (let second = 0; ; second += 1) {
  if (second % scrapeEvery === 0) await ask('/metrics');
  if (page !== undefined) {
    await ask('/api/status');
    const pulls = (await ask('/api/pulls')) as readonly { readonly id: string }[];
    for (const { id } of pulls) await ask(`/api/pulls/${id}`);
    if (second % 3 === 0) await ask('/api/peers');
  }
  await delay(1000);
}
