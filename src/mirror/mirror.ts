import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Server, Socket } from 'node:net';
import { PullError } from '../pull/types.ts';
import { endWithFin } from './connection.ts';
import { createHandler, type HandlerOptions, type Served } from './handler.ts';
import { Refusal, sendRefusal } from './refusal.ts';

export interface MirrorOptions extends HandlerOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** Requests that are worked on at once; one more gets 503 at once. */
  readonly maxRequests: number;
  /**
   * Seconds after which a client that takes nothing of what is there is given up (120 by default): the pieces that wait for
   * it can't be evicted. Long enough for a disk that is briefly overwhelmed by the unpacking of other layers.
   */
  readonly clientTimeout?: number;
  /** Fixes the kernel's send buffer of the connections that the server accepts. Without it the kernel's own choice stays. */
  readonly limitSendBuffer?: (server: Server, bytes: number) => void;
}

export interface Mirror {
  /** Rejects when the port is taken, or not to be had. */
  listen(): Promise<void>;
  /** Where it listens. Throws before `listen` has resolved. */
  readonly address: { readonly host: string; readonly port: number };
  stat(): MirrorStat;
  /** Ends every connection, those in the middle of a blob with FIN. */
  close(): Promise<void>;
}

/** Sums since the start. */
export interface MirrorStat {
  /** Requests that are being answered. */
  readonly active: number;
  /** By what was asked for and what became of it (see `Served`). */
  readonly requests: readonly (Served & { readonly count: number })[];
}

/** 1024 ranges of a blob of terabytes have 29 bytes each; the rest is for the other headers. */
const maxHeaderBytes = 64 * 1024;
/** Clients of this machine send their few hundred bytes at once. */
const requestSeconds = 15;
/** Go's clients drop idle connections after 30 s (containerd) or 90 s: longer here, so that none is closed under a request. */
const keepAliveSeconds = 120;
/** Seconds. */
const defaultClientTimeout = 120;
/**
 * Bytes of the kernel's send buffer. The kernel would let it grow to 4 MiB, for links with a round trip; to a client on this
 * machine every byte then waits until it has left the processor's cache, and sending costs twice the CPU (docs/pull.md).
 */
const sendBufferBytes = 256 * 1024;
/** What is still written by then when the mirror closes is cut off. */
const closeSeconds = 3;

/** The OCI distribution endpoint that the runtime asks before the registry. */
export function createMirror(options: MirrorOptions): Mirror {
  const { host, port, maxRequests, log } = options;
  const handle = createHandler(options);
  /** By connection: what is being answered on it. */
  const active = new Map<Socket, AbortController>();
  const served = new Map<string, Served & { count: number }>();
  let closing = false;

  const server = createServer({
    maxHeaderSize: maxHeaderBytes,
    headersTimeout: requestSeconds * 1000,
    requestTimeout: requestSeconds * 1000,
    connectionsCheckingInterval: 1000,
    keepAliveTimeout: keepAliveSeconds * 1000,
  });
  server.timeout = (options.clientTimeout ?? defaultClientTimeout) * 1000;
  // Connections wait for a request or hold one: room for a few idle ones of each client.
  server.maxConnections = Math.max(64, 4 * maxRequests);
  server.on('request', serve);
  // Answered at once: no request that the mirror accepts has a body worth asking for.
  server.on('checkContinue', serve);
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    // In the middle of an answer a second one would be taken for content.
    if (!socket.writable || active.has(socket)) {
      socket.destroy();
      return;
    }
    const status = error.code === 'HPE_HEADER_OVERFLOW' ? '431 Request Header Fields Too Large' : '400 Bad Request';
    socket.write(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
    endWithFin(socket);
  });

  function serve(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request;
    request.resume();
    response.setHeader('Docker-Distribution-Api-Version', 'registry/2.0');
    const full = overload(socket);
    if (full !== undefined) {
      sendRefusal(response, new Refusal(503, 'UNAVAILABLE', full));
      count({ kind: 'any', result: '503' });
      return;
    }
    const abort = new AbortController();
    active.set(socket, abort);
    // The backend has bounds of its own: of the idle connections with a request only those are given up whose client
    // does not take what is there.
    response.on('timeout', () => {
      if (socket.writableLength > 0) socket.destroy();
    });
    response.once('close', () => {
      active.delete(socket);
      abort.abort(new PullError('gone', 'the client is gone'));
      if (closing) endWithFin(socket);
    });
    void handle(request, response, abort).then(count);
  }

  function count({ kind, result }: Served): void {
    const key = `${kind} ${result}`;
    const known = served.get(key) ?? { kind, result, count: 0 };
    known.count += 1;
    served.set(key, known);
  }

  /** Costs more CPU where it can't be done, and nothing else. */
  function boundSendBuffer(): void {
    try {
      options.limitSendBuffer?.(server, sendBufferBytes);
    } catch (error) {
      log.warn({ err: error }, "the mirror's send buffer stays as the kernel wants it");
    }
  }

  /** Why a request can't be worked on now. */
  function overload(socket: Socket): string | undefined {
    // No runtime pipelines; the second answer would have to wait for the first one while its pieces wait in memory.
    if (active.has(socket)) return 'requests are not answered in parallel on one connection';
    if (active.size >= maxRequests) {
      return `${maxRequests} requests are being served, as many as p2p.proxyFsParallels allows`;
    }
    return closing ? 'the agent stops' : undefined;
  }

  return {
    get address() {
      const address = server.address();
      if (address === null || typeof address === 'string') throw new Error('the mirror does not listen');
      return { host, port: address.port };
    },
    stat: () => ({ active: active.size, requests: [...served.values()].map((sum) => ({ ...sum })) }),
    listen() {
      return new Promise((resolve, reject) => {
        const onError = (error: NodeJS.ErrnoException) => reject(listenError(error, host, port));
        server.once('error', onError);
        server.listen({ host, port }, () => {
          server.off('error', onError);
          boundSendBuffer();
          // A connection that can't be accepted (no file descriptors left) is not the end of the others.
          server.on('error', (error) => log.warn({ err: error }, 'the mirror could not accept a connection'));
          resolve();
        });
      });
    },
    async close() {
      closing = true;
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const abort of active.values()) abort.abort(new PullError('gone', 'the agent stops'));
      const deadline = setTimeout(() => server.closeAllConnections(), closeSeconds * 1000);
      await closed;
      clearTimeout(deadline);
    },
  };
}

function listenError(error: NodeJS.ErrnoException, host: string, port: number): Error {
  const mend =
    error.code === 'EADDRINUSE'
      ? `another process listens on port ${port}. Stop it, or set mirror.port to a free port and run \`shoal runtime configure\` again`
      : `${error.message}. Set mirror.port to a port that this process may listen on`;
  return new Error(`the mirror can't listen on ${host}:${port}: ${mend}`, { cause: error });
}
