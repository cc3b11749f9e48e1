import type { TokenIssuer } from './oidc-token.ts';
import type { FakeCloudState } from './types.ts';

/** What the seeds' pages have one set up: an instance, whoever may ask for its endpoints, roles in two accounts. */
export const names = {
  region: 'cn-hangzhou',
  instance: 'cri-test',
  otherInstance: 'cri-other',
  vpc: 'vpc-node',
  /** The instance's registry, as the node's VPC and as the Internet see it. */
  vpcHost: 'test-registry-vpc.cn-hangzhou.cr.aliyuncs.com',
  internetHost: 'test-registry.cn-hangzhou.cr.aliyuncs.com',
  otherHost: 'other-registry-vpc.cn-hangzhou.cr.aliyuncs.com',
  user: { id: 'LTAI5tUserOfTests', secret: 'the-secret-of-the-user' },
  /** May do nothing. */
  powerless: { id: 'LTAI5tPowerless', secret: 'the-secret-of-nobody' },
  workerRole: 'acs:ram::1001:role/KubernetesWorkerRole-test',
  rrsaRole: 'acs:ram::1001:role/shoal',
  /** In account A, for the instance in account B. */
  crossingRole: 'acs:ram::1001:role/crossing',
  farRole: 'acs:ram::2002:role/acr-reader',
  farInstance: 'cri-far',
  farHost: 'far-registry-vpc.cn-hangzhou.cr.aliyuncs.com',
  provider: 'acs:ram::1001:oidc-provider/ack-rrsa-test',
  subject: 'system:serviceaccount:aliyun-acr-acceleration:ack-acr-acceleration-p2p-sa',
} as const;

/** The seeds' policy. */
const readEndpoints = ['cr:GetInstanceVpcEndpoint', 'cr:ListInstanceEndpoint'];

export function cloudState(issuer: TokenIssuer): FakeCloudState {
  const [account, farAccount] = ['1001', '2002'];
  return {
    region: names.region,
    instances: {
      [names.instance]: {
        account,
        vpc: { domains: [names.vpcHost], linkedVpcs: [names.vpc] },
        internet: { domains: [names.internetHost], enable: true },
      },
      [names.otherInstance]: { account, vpc: { domains: [names.otherHost], linkedVpcs: [] } },
      [names.farInstance]: { account: farAccount, vpc: { domains: [names.farHost], linkedVpcs: [names.vpc] } },
    },
    users: {
      [names.user.id]: { account, secret: names.user.secret, actions: readEndpoints },
      [names.powerless.id]: { account, secret: names.powerless.secret, actions: [] },
    },
    roles: {
      [names.workerRole]: { account, actions: readEndpoints, maxSeconds: 3600 },
      [names.rrsaRole]: { account, actions: readEndpoints, maxSeconds: 3600, trustsSubjects: [names.subject] },
      [names.crossingRole]: {
        account,
        actions: ['sts:AssumeRole'],
        maxSeconds: 3600,
        trustsSubjects: [names.subject],
      },
      [names.farRole]: {
        account: farAccount,
        actions: readEndpoints,
        maxSeconds: 7200,
        trustsRoles: [names.crossingRole],
      },
    },
    oidc: { providerArn: names.provider, issuer: issuer.issuer, publicKey: issuer.publicKey },
    node: { region: names.region, vpcId: names.vpc, roleArn: names.workerRole },
  };
}
