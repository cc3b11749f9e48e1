import type { RenderOptions } from './helm.ts';

/** Values as people give them: the command lines and the values files of the documents that the chart follows, and every switch. */

const onPremises = [
  'region=cn-hangzhou',
  'accessKey=LTAI-key-of-the-test',
  'accessKeySecret=secret-of-the-test',
  'p2p.registryInstances=cri-1a2b3c',
  'pullImageInternet=true',
  'p2p.plusMode.enable=true',
];
const plus = (...set: string[]): RenderOptions => ({ set: [...onPremises, ...set] });
const rrsa = {
  enable: true,
  rrsaRoleARN: 'acs:ram::111:role/aaa',
  rrsaOIDCProviderRoleARN: 'acs:ram::111:oidc-provider/bbb',
  assumeRoleARN: 'acs:ram::222:role/ccc',
  expireDuration: 43200,
};

export const chartCases: Readonly<Record<string, RenderOptions>> = {
  'as it is': {},
  'an on-premises cluster': plus(),
  'cacheTTL=72h': plus('p2p.plusMode.cacheTTL=72h'),
  cacheHostPath: plus('p2p.plusMode.cacheHostPath=/data/shoal'),
  ossInternetAccelerate: plus('p2p.plusMode.ossInternetAccelerate=true'),
  'downloadPattern=source': plus('p2p.plusMode.downloadPattern=source'),
  nodeSelectorEnable: plus('p2p.plusMode.nodeSelectorEnable=true'),
  'everything of plus mode': plus(
    'p2p.plusMode.cacheTTL=3600',
    'p2p.plusMode.cacheHostPath=/data/shoal',
    'p2p.plusMode.ossInternetAccelerate=true',
    'p2p.plusMode.downloadPattern=source',
    'p2p.plusMode.nodeSelectorEnable=true',
    'registryMirror.logins.secretName=registries',
  ),
  'ACK by the worker RAM role': {
    values: { acrInstances: 'cri-xxx,cri-yyy', region: '', vpcId: '', p2p: { port: 65001 } },
  },
  'ACK by an AccessKey': {
    values: { acrInstances: 'cri-xxx', accessKey: 'LTAI-key-of-the-test', accessKeySecret: 'secret-of-the-test' },
  },
  'ACK by RRSA': { values: { acrInstances: 'cri-xxx', rrsa } },
  'RRSA in plus mode': { values: { acrInstances: ['cri-xxx', 'cri-yyy'], rrsa, p2p: { plusMode: { enable: true } } } },
  'memory mode': { set: ['p2p.v2.cache.mode=memory'] },
  "the appendix's parameters": {
    set: [
      'p2p.v2.cache.blocksize=512,p2p.v2.cache.capacity=8589934592,p2p.v2.cache.optionBlockSize=134217728',
      'p2p.v2.cache.memoryCacheCapacityGB=2,p2p.v2.cache.aio=0,p2p.v2.cache.cacheTTL=3d',
      'p2p.proxyFsParallels=256,p2p.connectTimeout=10,p2p.transferTimeout=30',
      'p2p.ratelimit.upload=10485760,p2p.ratelimit.download=20971520,p2p.authorizationTTL=0',
    ],
  },
  'other ports': { set: ['p2p.port=7001,mirror.port=7002,telemetry.port=7003,p2p.plusMode.enable=true'] },
  'an AccessKey in a Secret of the user': { set: ['accessKeyExistingSecret=mine', 'p2p.plusMode.enable=true'] },
  'certificates by cert-manager': plus('certificates.source=certManager'),
  "the user's authority": plus('certificates.source=secret', 'certificates.secretName=mine'),
  'without TLS': plus('p2p.tls=off'),
  'accelerate=all': { set: ['accelerate=all'] },
  'with events': { set: ['events.enable=true'] },
  'no schedulers': { set: ['scheduler.replicas=0'] },
  'no RBAC': { set: ['rbac.create=false'] },
  monitored: plus(
    'serviceMonitor.enable=true',
    'serviceMonitor.labels.release=prometheus',
    'telemetry.traces.endpoint=http://collector:4318',
    'telemetry.traces.registries={registry.example.com}',
  ),
  'nothing optional': plus('networkPolicy.enable=false,podDisruptionBudget.enable=false'),
  'policies that name who': {
    set: onPremises,
    values: {
      networkPolicy: {
        p2pFrom: [{ ipBlock: { cidr: '10.0.0.0/8', except: ['10.1.0.0/16'] } }],
        telemetryFrom: [{ namespaceSelector: { matchLabels: { name: 'monitoring' } } }],
      },
    },
  },
  'placed by the user': {
    set: onPremises,
    values: {
      image: { repository: 'registry.example.com/shoal', digest: `sha256:${'a'.repeat(64)}`, pullSecrets: ['pull'] },
      agent: {
        nodeSelector: { pool: 'a' },
        tolerations: [],
        affinity: null,
        podLabels: { team: 'x' },
        apiServer: 'https://10.0.0.1:6443',
      },
      scheduler: { replicas: 3, tolerations: [{ key: 'a', operator: 'Exists', effect: 'NoSchedule' }] },
      registryMirror: { affinity: { nodeAffinity: {} }, podAnnotations: { note: '1' }, nodeSelector: { disk: 'fast' } },
      registries: { include: ['docker.io/*'], hosts: { 'registry.example.com:5000': { plainHttp: true } } },
      serviceAccount: { annotations: { owner: 'x' } },
    },
  },
  "a registry's own authority": {
    set: ['p2p.plusMode.enable=true'],
    values: {
      registries: { caSecret: 'mine', hosts: { 'registry.example.com': { caFile: '/etc/shoal/registry.pem' } } },
    },
  },
  'a long release name': { release: 'a-release-whose-name-is-as-long-as-helm-lets-it-be123', set: onPremises },
  'another namespace': { release: 'fast', namespace: 'images', values: { acrInstances: 'cri-xxx', rrsa } },
};
