import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Host } from './network.ts';
import { runNginx } from './nginx.ts';
import type { Relay } from './relay.ts';
import type { Scope } from './scope.ts';
import { temporaryFolder } from './temp.ts';

/** A registry whose blobs nginx sends from the registry's own files; whatever else is asked for goes on to the registry. */
export interface BlobServer {
  /** `address:port`, as it stands in image references. */
  readonly host: string;
  /** Bytes of blobs that were sent so far, bodies alone. */
  blobBytes(): Promise<number>;
}

export interface BlobServerOptions {
  readonly machine: Host;
  readonly port: number;
  /** Storage of a docker-registry. */
  readonly root: string;
  /** In front of that registry, on the same machine. */
  readonly relay: Relay;
}

/**
 * docker-registry reads 4 MiB for each range that it is asked for, and uses 4 ms of CPU: with one machine for all, that is taken
 * from the nodes. nginx sends a range for a thirtieth of that.
 */
export async function startBlobServer(scope: Scope, options: BlobServerOptions): Promise<BlobServer> {
  const { machine, port, root, relay } = options;
  const host = `${machine.address}:${port}`;
  const log = path.join(await temporaryFolder(scope, 'blob-server'), 'sent');
  const blobs = path.join(root, 'docker/registry/v2/blobs/sha256');
  const nginx = await runNginx(scope, {
    host,
    prefix: machine.prefix,
    http: "log_format sent '$body_bytes_sent';",
    directives: `
    keepalive_requests 1000000;
    location ~ "^/v2/.+/blobs/sha256:(?<first>[0-9a-f]{2})(?<rest>[0-9a-f]{62})$" {
      access_log ${log} sent;
      add_header Docker-Content-Digest "sha256:$first$rest";
      default_type application/octet-stream;
      alias ${blobs}/$first/$first$rest/data;
    }
    location / {
      access_log off;
      proxy_set_header Host $http_host;
      proxy_pass ${relay.url};
    }`,
  });
  // The log is made when the configuration has been read and before it listens; a moment too early is a refused connection.
  await nginx.until(async () => (await sent(log)) !== undefined, { what: 'its log' });
  return {
    host,
    async blobBytes() {
      return (await sent(log)) ?? 0;
    },
  };
}

async function sent(log: string): Promise<number | undefined> {
  const text = await readFile(log, 'utf8').catch(() => undefined);
  return text?.split('\n').reduce((sum, line) => sum + Number(line), 0);
}
