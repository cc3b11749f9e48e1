import path from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';
import type { Access, AccessSource } from './access.ts';
import { checkToken, readCredentialFile, readTokenFile } from './read-file.ts';
import { KubernetesError } from './types.ts';

/** The keys that are read or refused (client-go's `clientcmd/api/v1`); other tools' keys are none of our business. */
const cluster = z.looseObject({
  server: z.string(),
  'certificate-authority': z.string().optional(),
  'certificate-authority-data': z.base64().optional(),
  'insecure-skip-tls-verify': z.boolean().optional(),
  'tls-server-name': z.string().optional(),
});
const user = z.looseObject({
  'client-certificate': z.string().optional(),
  'client-certificate-data': z.base64().optional(),
  'client-key': z.string().optional(),
  'client-key-data': z.base64().optional(),
  token: z.string().optional(),
  tokenFile: z.string().optional(),
});
const kubeconfigSchema = z.looseObject({
  'current-context': z.string().optional(),
  clusters: z.array(z.object({ name: z.string(), cluster })),
  users: z.array(z.object({ name: z.string(), user })).nullish(),
  contexts: z.array(
    z.object({ name: z.string(), context: z.looseObject({ cluster: z.string(), user: z.string().optional() }) }),
  ),
});
type Cluster = z.output<typeof cluster>;
type User = z.output<typeof user>;

export interface KubeconfigOptions {
  readonly file: string;
  /** The file's `current-context` by default. */
  readonly context?: string | undefined;
  /** Follow `insecure-skip-tls-verify` and `http://`. Else they are refused: whoever is on the way would get the token. */
  readonly allowInsecure?: boolean | undefined;
}

/**
 * A kubeconfig file: client certificate, token or token file. It is read anew for every request, with the files it names,
 * so that a rotated certificate or token counts at once.
 */
export function kubeconfigAccess(options: KubeconfigOptions): AccessSource {
  const { file } = options;
  return async (): Promise<Access> => {
    const refuse = (reason: string) => new KubernetesError('configuration', `kubeconfig ${file}: ${reason}`);
    const config = parseKubeconfig(await readCredentialFile('kubeconfig', file), refuse);
    const name = options.context ?? config['current-context'];
    const context = config.contexts.find((each) => each.name === name)?.context;
    if (context === undefined) throw refuse(`there is no context ${JSON.stringify(name ?? '')}`);
    const itsCluster = config.clusters.find((each) => each.name === context.cluster)?.cluster;
    if (itsCluster === undefined) throw refuse(`there is no cluster ${JSON.stringify(context.cluster)}`);
    const itsUser = context.user ? config.users?.find((each) => each.name === context.user)?.user : {};
    if (itsUser === undefined) throw refuse(`there is no user ${JSON.stringify(context.user)}`);
    refuseUnsupported(itsCluster, itsUser, refuse);
    const server = checkServer(itsCluster, options, refuse);
    /** Paths are relative to the kubeconfig, as for kubectl. */
    const resolve = (relative: string) => path.resolve(path.dirname(file), relative);
    const pem = async (data: string | undefined, named: string | undefined): Promise<string | undefined> => {
      if (data) return Buffer.from(data, 'base64').toString('utf8');
      return named ? readCredentialFile('file of the kubeconfig', resolve(named)) : undefined;
    };
    const [ca, certificate, key, token] = await Promise.all([
      pem(itsCluster['certificate-authority-data'], itsCluster['certificate-authority']),
      pem(itsUser['client-certificate-data'], itsUser['client-certificate']),
      pem(itsUser['client-key-data'], itsUser['client-key']),
      tokenOf(itsUser, file, resolve),
    ]);
    if ((certificate === undefined) !== (key === undefined)) {
      throw refuse('a client certificate needs its key: give both client-certificate and client-key, or none');
    }
    const insecure = itsCluster['insecure-skip-tls-verify'] ?? false;
    return { server, ca, certificate, key, serverName: itsCluster['tls-server-name'], insecure, token };
  };
}

type Refuse = (reason: string) => KubernetesError;

function parseKubeconfig(text: string, refuse: Refuse): z.output<typeof kubeconfigSchema> {
  let tree: unknown;
  try {
    // Warnings, too, quote the line.
    tree = parse(text, { maxAliasCount: 0, logLevel: 'error' });
  } catch {
    // The parser quotes the line, which may hold the token.
    throw refuse('it is not YAML');
  }
  const { data, error } = kubeconfigSchema.safeParse(tree);
  if (data !== undefined) return data;
  const [issue] = error.issues;
  throw refuse(`${issue?.path.join('.') || 'the file'} is not what a kubeconfig has there: ${issue?.message}`);
}

function checkServer(itsCluster: Cluster, options: KubeconfigOptions, refuse: Refuse): URL {
  const server = URL.parse(itsCluster.server);
  if (server === null || (server.protocol !== 'https:' && server.protocol !== 'http:')) {
    throw refuse('server is not an https URL');
  }
  if (options.allowInsecure) return server;
  if (server.protocol === 'http:') throw refuse('server is http: the token would travel in the clear. Use https');
  if (itsCluster['insecure-skip-tls-verify']) {
    const mend = 'Remove it, and name the CA in certificate-authority';
    throw refuse(`insecure-skip-tls-verify would give the token to whoever answers. ${mend}`);
  }
  return server;
}

const tokenMend = 'Give a client certificate, token or tokenFile (docs/membership.md)';

/** Ways to log in that would need a program to be started, or that Kubernetes itself has dropped. */
function refuseUnsupported(itsCluster: Cluster, itsUser: User, refuse: Refuse): void {
  if ('exec' in itsUser) throw refuse(`exec plugins are not run: the agent starts no programs as root. ${tokenMend}`);
  for (const key of ['auth-provider', 'username', 'password', 'as', 'as-uid', 'as-groups', 'as-user-extra']) {
    if (key in itsUser) throw refuse(`${key} is not supported. ${tokenMend}`);
  }
  if ('proxy-url' in itsCluster)
    throw refuse('proxy-url is not supported: name an API server that is reached directly');
}

/** As in client-go, the file wins over the token beside it: it is the one that is rotated. */
async function tokenOf(
  itsUser: User,
  file: string,
  resolve: (relative: string) => string,
): Promise<string | undefined> {
  if (itsUser.tokenFile) return readTokenFile(resolve(itsUser.tokenFile));
  return itsUser.token === undefined ? undefined : checkToken(`kubeconfig ${file}: token`, itsUser.token);
}
