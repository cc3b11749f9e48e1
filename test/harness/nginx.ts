import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { freePort } from './ports.ts';
import { type Command, type RunningProcess, runBy, start } from './process.ts';
import type { Scope } from './scope.ts';
import { temporaryFolder } from './temp.ts';

export interface Nginx {
  readonly url: string;
  readonly process: RunningProcess;
}

export interface NginxOptions {
  /** `address:port`. */
  readonly host: string;
  /** Directives of the block `server`, besides `listen`. */
  readonly directives: string;
  /** Directives of the block `http`, besides what every one of ours has. */
  readonly http?: string;
  /** Put before the command: how a program is run in a network namespace. */
  readonly prefix?: Command;
}

/** Starts an nginx that serves the files of `folder` on loopback. */
export async function startNginx(scope: Scope, folder: string): Promise<Nginx> {
  const host = `127.0.0.1:${await freePort()}`;
  const url = `http://${host}`;
  const process = await runNginx(scope, { host, directives: `access_log off; root ${folder};` });
  await process.until(async () => (await fetch(url)).status > 0, { what: 'its port' });
  return { url, process };
}

/** Starts an nginx as its makers advise: sendfile, tcp_nopush, a worker for each core. It may not listen yet. */
export async function runNginx(scope: Scope, options: NginxOptions): Promise<RunningProcess> {
  const { host, directives, http = '', prefix } = options;
  const work = await temporaryFolder(scope, 'nginx');
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
  sendfile on;
  tcp_nopush on;
  client_body_temp_path ${work}/body;
  proxy_temp_path ${work}/proxy;
  fastcgi_temp_path ${work}/fastcgi;
  uwsgi_temp_path ${work}/uwsgi;
  scgi_temp_path ${work}/scgi;
  ${http}
  server { listen ${host}; ${directives} }
}
`,
  );
  return await start(scope, 'nginx', runBy(prefix, ['nginx', '-p', work, '-c', configFile]), {});
}
