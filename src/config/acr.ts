import { z } from 'zod';
import { absolutePath, duration } from './values.ts';

/** Instances at most: each costs a request or two to ACR's OpenAPI for every refresh. */
const mostInstances = 50;

/** A list, or the seeds' form: one text with commas. */
export const instances = z
  .union([z.array(z.string()), z.string()])
  .transform((value) => (typeof value === 'string' ? value.split(',') : value).map((id) => id.trim()))
  .transform((ids) => ids.filter((id) => id !== ''))
  .superRefine((ids, context) => {
    const wrong = ids.find((id) => !/^cri-[a-z0-9]{1,60}$/.test(id));
    if (wrong !== undefined) {
      const message = `${JSON.stringify(wrong.slice(0, 60))} is no ID of an ACR Enterprise Edition instance: cri-…`;
      context.addIssue({ code: 'custom', message });
    }
    if (ids.length > mostInstances)
      context.addIssue({ code: 'custom', message: `more than ${mostInstances} instances` });
  });

/** The seeds' values files have empty texts where the default is meant. */
const emptyIsAbsent = (text: string): string | undefined => (text === '' ? undefined : text);

function optionalText(pattern: RegExp, otherwise: string) {
  return z
    .string()
    .max(512)
    .refine((text) => text === '' || pattern.test(text), otherwise)
    .transform(emptyIsAbsent)
    .optional();
}

const region = optionalText(/^[a-z]{2,}(-[a-z0-9]+)+$/, 'is no region: cn-hangzhou, ap-southeast-1');
const vpc = optionalText(/^vpc-[a-z0-9]+$/, 'is no ID of a VPC: vpc-…');
const arn = optionalText(/^acs:ram::[\x21-\x7e]+$/, 'is no ARN: acs:ram::<account>:role/<name>');

/** Requests are signed, and answers carry passwords: in the clear they go to this machine alone. */
const apiUrl = z
  .string()
  .max(512)
  .refine(isSafeUrl, 'is neither an https URL nor an http URL of loopback, without path or query');
const metadataUrl = z
  .string()
  .max(512)
  .refine((text) => isBareUrl(URL.parse(text)), 'is no http or https URL without path or query');

/** The keys of ACR that stand at the top, as in the seeds' values files. */
export const acrKeys = {
  acrInstances: instances
    .prefault([])
    .describe(
      'IDs of the ACR Enterprise Edition instances whose images are accelerated, with commas or as a list. Without any, every registry is.',
    ),
  region: region.describe("The instances' region. By default the node's own (ECS metadata)."),
  vpcId: vpc.describe("The VPC that the instances are reached from. By default the node's own (ECS metadata)."),
  pullImageInternet: z
    .boolean()
    .default(false)
    .describe("Accelerate the instances' Internet endpoints instead of their VPC endpoints."),
  accessKeyFile: absolutePath
    .optional()
    .describe('File with an AccessKey ID (seed: accessKey). Else $ALIBABA_CLOUD_ACCESS_KEY_ID.'),
  accessKeySecretFile: absolutePath
    .optional()
    .describe("File with the AccessKey's secret (seed: accessKeySecret). Else $ALIBABA_CLOUD_ACCESS_KEY_SECRET."),
  securityTokenFile: absolutePath
    .optional()
    .describe('File with the STS token of a temporary AccessKey. Else $ALIBABA_CLOUD_SECURITY_TOKEN.'),
  rrsa: z
    .strictObject({
      enable: z.boolean().default(false).describe('Prove who we are with a service account token (RRSA).'),
      rrsaRoleARN: arn.describe("ARN of the RAM role in the cluster's account (account A)."),
      rrsaOIDCProviderRoleARN: arn.describe("ARN of the cluster's OIDC provider in account A."),
      assumeRoleARN: arn.describe(
        "ARN of the RAM role in the instances' account (account B), where that is another one.",
      ),
      expireDuration: z
        .int()
        .min(3600)
        .max(43_200)
        .default(3600)
        .describe("Seconds that account B's credentials are asked for: at most the role's maximum session duration."),
      tokenFile: absolutePath
        .default('/var/run/secrets/ack.alibabacloud.com/rrsa-tokens/token')
        .describe('The projected service account token, read anew whenever it is needed.'),
    })
    .superRefine((value, context) => {
      for (const key of ['rrsaRoleARN', 'rrsaOIDCProviderRoleARN'] as const) {
        if (value.enable && value[key] === undefined)
          context.addIssue({ code: 'custom', path: [key], message: `is missing: rrsa.enable needs it` });
      }
    })
    .prefault({}),
  acr: z
    .strictObject({
      endpoints: z
        .strictObject({
          openapi: apiUrl
            .optional()
            .describe("URL of ACR's OpenAPI. By default cr-vpc.<region>.aliyuncs.com, then cr.<region>.aliyuncs.com."),
          sts: apiUrl
            .optional()
            .describe('URL of STS. By default sts-vpc.<region>.aliyuncs.com, then sts.<region>.aliyuncs.com.'),
          metadata: metadataUrl.default('http://100.100.100.200').describe('URL of the ECS metadata service.'),
        })
        .prefault({}),
      refreshInterval: duration
        .prefault('1h')
        .refine((seconds) => seconds >= 60 && seconds <= 86_400, 'is not between 60 seconds and a day')
        .describe(
          "How often the instances' endpoints are asked for: seconds, or with a unit. Up to a fifth is taken off by chance.",
        ),
    })
    .prefault({}),
};

/** `registries.logins`: for pulls that no pod's secret comes with. */
export const loginsSchema = z.strictObject({
  dockerConfigFile: absolutePath
    .optional()
    .describe(
      'A docker config.json or a Kubernetes .dockerconfigjson; it may name credential helpers (docker-credential-…).',
    ),
  acr: z
    .boolean()
    .default(false)
    .describe('Log in to the instances of acrInstances with temporary passwords (needs cr:GetAuthorizationToken).'),
});

interface AcrValues {
  readonly acrInstances: readonly string[];
  readonly accessKeyFile?: string | undefined;
  readonly accessKeySecretFile?: string | undefined;
  readonly securityTokenFile?: string | undefined;
  readonly rrsa: { readonly enable: boolean };
  readonly p2p: { readonly registryInstances: readonly string[] };
}

/** What contradicts itself among these keys. */
export function checkAcr(value: AcrValues, context: z.RefinementCtx): void {
  const problem = (path: string[], message: string) => context.addIssue({ code: 'custom', path, message });
  const { acrInstances, accessKeyFile, accessKeySecretFile, securityTokenFile } = value;
  if (acrInstances.length > 0 && value.p2p.registryInstances.length > 0) {
    problem(['p2p', 'registryInstances'], 'means the same as acrInstances, which stands there too. Keep one of them');
  }
  if ((accessKeyFile === undefined) !== (accessKeySecretFile === undefined)) {
    const missing = accessKeyFile === undefined ? 'accessKeyFile' : 'accessKeySecretFile';
    problem([missing], 'is missing: accessKeyFile and accessKeySecretFile go together');
  }
  if (securityTokenFile !== undefined && accessKeyFile === undefined) {
    problem(['securityTokenFile'], 'needs accessKeyFile and accessKeySecretFile beside it');
  }
  if (value.rrsa.enable && accessKeyFile !== undefined) {
    problem(['accessKeyFile'], 'contradicts rrsa.enable: true. Keep one of the two ways of authorization');
  }
}

/** The instances, by whichever of the two names they were given. */
export function instancesOf(config: Pick<AcrValues, 'acrInstances' | 'p2p'>): readonly string[] {
  return [...new Set([...config.acrInstances, ...config.p2p.registryInstances])];
}

function isBareUrl(url: URL | null): url is URL {
  if (url === null || !['http:', 'https:'].includes(url.protocol)) return false;
  return url.pathname === '/' && url.search === '' && url.hash === '' && url.username === '' && url.password === '';
}

function isSafeUrl(text: string): boolean {
  const url = URL.parse(text);
  return isBareUrl(url) && (url.protocol === 'https:' || /^(localhost|127(\.\d+){3}|\[::1\])$/.test(url.hostname));
}
