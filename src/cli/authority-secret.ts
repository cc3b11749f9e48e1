import { secrets } from '../kubernetes/resources.ts';
import { type KubernetesEditor, KubernetesError } from '../kubernetes/types.ts';
import { authorityFiles, createAuthority } from '../swarm/tls/authority.ts';

export interface SecretOptions {
  readonly client: KubernetesEditor;
  readonly namespace: string;
  readonly name: string;
  /** How long the authority is valid. */
  readonly days?: number;
  readonly signal: AbortSignal;
}

export interface AuthoritySecret {
  readonly namespace: string;
  readonly name: string;
  /** False: there was one, and it stays. Nodes trust it. */
  readonly isNew: boolean;
}

/**
 * Makes an authority as a Secret with `ca.crt` and `ca.key`, unless there is one of that name. It takes no more than the
 * right to create: whether one is there says the refusal.
 */
export async function createAuthoritySecret(options: SecretOptions): Promise<AuthoritySecret> {
  const { client, namespace, name, days, signal } = options;
  const { certificate, key } = createAuthority(days === undefined ? {} : { days });
  const secret = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, namespace, labels: { 'app.kubernetes.io/component': 'authority' } },
    type: 'Opaque',
    data: { [authorityFiles.certificate]: base64(certificate), [authorityFiles.key]: base64(key) },
  };
  try {
    await client.create(secrets(namespace), secret, signal);
    return { namespace, name, isNew: true };
  } catch (error) {
    if (error instanceof KubernetesError && error.kind === 'conflict') return { namespace, name, isNew: false };
    throw error;
  }
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}
