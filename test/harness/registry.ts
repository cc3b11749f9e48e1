import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import { type Command, runBy } from './process.ts';

/** Who may use the registry. */
export type RegistryAuth =
  /** Basic: password by user name. */
  | { readonly htpasswd: Readonly<Record<string, string>> }
  /** Bearer, with tokens of a token server (see token-server.ts). */
  | {
      readonly token: {
        readonly realm: string;
        readonly service: string;
        readonly issuer: string;
        /** PEM of the certificates that the tokens' certificate chain must end in. */
        readonly rootCertificates: string;
      };
    };

export interface RegistryOptions {
  readonly auth?: RegistryAuth;
  /** PEM files; the registry speaks https then. */
  readonly tls?: { readonly certificateFile: string; readonly keyFile: string };
  /** Where the content is; a new folder by default. A folder given here survives `stop`. */
  readonly root?: string;
  /** Put before the command: how a program is run in a network namespace. */
  readonly prefix?: Command;
}

/** One answered request, from the registry's own log. */
export interface AccessRecord {
  readonly method: string;
  /** Path and query. */
  readonly uri: string;
  readonly status: number;
  /** Bytes of body that the registry wrote. */
  readonly written: number;
}

export interface RunningRegistry {
  /** `http://127.0.0.1:port` or `https://…`. */
  readonly url: string;
  /** `127.0.0.1:port`, as it stands in image references. */
  readonly host: string;
  /** The storage folder: another registry may be started on it. */
  readonly root: string;
  /** Every request answered so far, in order. The log lags behind the answer by a moment. */
  readonly accessLog: readonly AccessRecord[];
  stop(): Promise<void>;
}

/** The registry's JSON log line, as far as it is read here. */
const logLine = z.object({
  msg: z.string(),
  'http.request.method': z.string().optional(),
  'http.request.uri': z.string().optional(),
  'http.response.status': z.int().optional(),
  'http.response.written': z.int().optional(),
});

const startTimeoutMs = 15_000;
const stopTimeoutMs = 5_000;
const keptLogLines = 50;

/** Starts Debian's docker-registry on a free loopback port; returns when it listens. Rejects with its log otherwise. */
export async function startRegistry(options: RegistryOptions = {}): Promise<RunningRegistry> {
  const work = await mkdtemp(path.join(os.tmpdir(), 'shoal-registry-'));
  const root = options.root ?? path.join(work, 'data');
  await mkdir(root, { recursive: true });
  const configFile = path.join(work, 'config.yml');
  // JSON is YAML.
  await writeFile(configFile, JSON.stringify(await configuration(options, root, work)));

  const [program, ...args] = runBy(options.prefix, ['docker-registry', 'serve', configFile]);
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const killAtExit = () => child.kill('SIGKILL');
  process.once('exit', killAtExit);

  const accessLog: AccessRecord[] = [];
  const lastLines: string[] = [];
  const listening = Promise.withResolvers<string>();
  // Whoever awaits `listening` gets the failure; a registry that ends later must not raise an unhandled one.
  listening.promise.catch(() => {});
  createInterface({ input: child.stderr }).on('line', (text) => {
    lastLines.push(text);
    if (lastLines.length > keptLogLines) lastLines.shift();
    const line = parseLogLine(text);
    if (line === undefined) return;
    const address = /^listening on (127\.0\.0\.1:\d+)/.exec(line.msg)?.[1];
    if (address !== undefined) listening.resolve(address);
    if (line['http.response.status'] !== undefined && line.msg.startsWith('response completed')) {
      accessLog.push({
        method: line['http.request.method'] ?? '',
        uri: line['http.request.uri'] ?? '',
        status: line['http.response.status'],
        written: line['http.response.written'] ?? 0,
      });
    }
  });
  const fail = (cause: string) => listening.reject(new Error(`docker-registry ${cause}:\n${lastLines.join('\n')}`));
  child.once('error', (error) => fail(`can't be started (${error.message}); scripts/setup installs it`));
  child.once('close', () => fail('ended before it listened'));
  const timer = setTimeout(fail, startTimeoutMs, `does not listen after ${startTimeoutMs} ms`);

  const stop = async () => {
    process.off('exit', killAtExit);
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      const killer = setTimeout(() => child.kill('SIGKILL'), stopTimeoutMs);
      await exited;
      clearTimeout(killer);
    }
    await rm(work, { recursive: true, force: true });
  };

  try {
    const host = await listening.promise;
    return { url: `${options.tls ? 'https' : 'http'}://${host}`, host, root, accessLog, stop };
  } catch (error) {
    await stop();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

async function configuration(options: RegistryOptions, root: string, work: string): Promise<object> {
  return {
    version: '0.1',
    log: { level: 'info', formatter: 'json', accesslog: { disabled: true } },
    storage: {
      filesystem: { rootdirectory: root },
      delete: { enabled: true },
      maintenance: { uploadpurging: { enabled: false } },
    },
    http: {
      addr: '127.0.0.1:0',
      secret: 'one registry alone: nothing to share',
      ...(options.tls && { tls: { certificate: options.tls.certificateFile, key: options.tls.keyFile } }),
    },
    ...(options.auth && { auth: await authentication(options.auth, work) }),
  };
}

async function authentication(auth: RegistryAuth, work: string): Promise<object> {
  if ('htpasswd' in auth) {
    const file = path.join(work, 'htpasswd');
    // docker-registry takes bcrypt alone; the password goes in by stdin, so that no process list shows it.
    const lines = Object.entries(auth.htpasswd).map(([user, password]) =>
      execFileSync('htpasswd', ['-B', '-C', '4', '-i', '-n', user], { input: password, encoding: 'utf8' }).trim(),
    );
    await writeFile(file, `${lines.join('\n')}\n`);
    return { htpasswd: { realm: 'test', path: file } };
  }
  const bundle = path.join(work, 'token-roots.pem');
  await writeFile(bundle, auth.token.rootCertificates);
  const { realm, service, issuer } = auth.token;
  return { token: { realm, service, issuer, rootcertbundle: bundle } };
}

function parseLogLine(text: string): z.output<typeof logLine> | undefined {
  try {
    return logLine.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
