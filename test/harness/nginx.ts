import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { freePort } from './ports.ts';
import { type RunningProcess, start } from './process.ts';
import type { Scope } from './scope.ts';
import { temporaryFolder } from './temp.ts';

export interface Nginx {
  readonly url: string;
  readonly process: RunningProcess;
}

/** Starts an nginx that serves the files of `folder` as its makers advise: sendfile, tcp_nopush, a worker for each core. */
export async function startNginx(scope: Scope, folder: string): Promise<Nginx> {
  const work = await temporaryFolder(scope, 'nginx');
  const port = await freePort();
  const configFile = path.join(work, 'nginx.conf');
  await mkdir(path.join(work, 'logs'));
  await writeFile(
    configFile,
    `daemon off;
user root;
worker_processes auto;
pid ${work}/nginx.pid;
error_log stderr warn;
events { worker_connections 1024; }
http {
  access_log off;
  sendfile on;
  tcp_nopush on;
  client_body_temp_path ${work}/body;
  proxy_temp_path ${work}/proxy;
  fastcgi_temp_path ${work}/fastcgi;
  uwsgi_temp_path ${work}/uwsgi;
  scgi_temp_path ${work}/scgi;
  server { listen 127.0.0.1:${port}; root ${folder}; }
}
`,
  );
  const url = `http://127.0.0.1:${port}`;
  const running = await start(scope, 'nginx', ['nginx', '-p', work, '-c', configFile]);
  await running.until(async () => (await fetch(url)).status > 0, { what: 'its port' });
  return { url, process: running };
}
