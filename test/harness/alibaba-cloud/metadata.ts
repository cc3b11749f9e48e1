import { randomBytes } from 'node:crypto';
import type { FakeCloud } from './cloud.ts';
import type { WireAnswer, WireRequest } from './types.ts';

const text = (status: number, body: string): WireAnswer => ({ status, type: 'text/plain', body });

/** The ECS metadata service of the cloud's node, in the hardened mode: nothing without a session token. */
export class FakeMetadata {
  readonly requests: { readonly method: string; readonly target: string; readonly status: number }[] = [];
  readonly #cloud: FakeCloud;
  readonly #tokens = new Set<string>();

  constructor(cloud: FakeCloud) {
    this.#cloud = cloud;
  }

  /** Session tokens are good no longer. */
  forgetTokens(): void {
    this.#tokens.clear();
  }

  answer(request: WireRequest): WireAnswer {
    const answer = this.#answer(request);
    this.requests.push({ method: request.method, target: request.target, status: answer.status });
    return answer;
  }

  #answer({ method, target, headers }: WireRequest): WireAnswer {
    const header = (name: string): string | undefined => headers.find(([key]) => key.toLowerCase() === name)?.[1];
    // A request that came through a proxy isn't the node's own.
    if (header('x-forwarded-for') !== undefined) return text(403, 'Forbidden');
    if (method === 'PUT' && target === '/latest/api/token') {
      const seconds = Number(header('x-aliyun-ecs-metadata-token-ttl-seconds'));
      if (!(seconds >= 1 && seconds <= 21_600)) return text(400, 'Bad Request');
      const token = randomBytes(24).toString('base64url');
      this.#tokens.add(token);
      return text(200, token);
    }
    if (method !== 'GET') return text(405, 'Method Not Allowed');
    if (!this.#tokens.has(header('x-aliyun-ecs-metadata-token') ?? '')) return text(403, 'Forbidden');
    const { node } = this.#cloud.state;
    const role = /\/([^/]+)$/.exec(node?.roleArn ?? '')?.[1];
    const path = target.replace(/^\/latest\/meta-data\//, '');
    if (node === undefined) return text(404, 'Not Found');
    if (path === 'region-id') return text(200, node.region);
    if (path === 'vpc-id') return text(200, node.vpcId);
    if (node.roleArn === undefined || role === undefined) return text(404, 'Not Found');
    if (path === 'ram/security-credentials/') return text(200, role);
    if (path !== `ram/security-credentials/${role}`) return text(404, 'Not Found');
    const session = {
      ...this.#cloud.openSession(node.roleArn, 3600),
      LastUpdated: new Date().toISOString(),
      Code: 'Success',
    };
    return text(200, JSON.stringify(session));
  }
}
