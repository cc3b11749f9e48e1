import { z } from 'zod';
import { instances } from './acr.ts';
import { membershipSchema } from './membership.ts';
import { absolutePath, duration, port } from './values.ts';

/** RFC 1123 names, and `host:port` of a static list: what a certificate can name, without surprises in logs and paths. */
const memberId = z
  .string()
  .max(255)
  .regex(/^[a-zA-Z0-9]([a-zA-Z0-9._:[\]-]*[a-zA-Z0-9])?$/, 'is no name of a member');
/** The Kubernetes label value syntax, which zones have. */
const zone = z
  .string()
  .max(63)
  .regex(/^([a-zA-Z0-9]([-a-zA-Z0-9_.]*[a-zA-Z0-9])?)?$/, 'is no name of a zone');
const bytesPerSecond = z.int().min(0);

/** The keys of `p2p` that are about other nodes. */
export const swarmKeys = {
  port: port.default(65001).describe('The port that other nodes ask for pieces and for who has them.'),
  host: z
    .string()
    .optional()
    .describe('The address to listen on. By default every address, but loopback alone without certificates.'),
  id: memberId
    .optional()
    .describe(
      "This node's name in the membership. By default its host name, or for a static list or DNS the entry with an address of this machine.",
    ),
  zone: zone.optional().describe("This node's zone. By default what the membership says of it."),
  tls: z
    .enum(['auto', 'off'])
    .default('auto')
    .describe('auto: mutual TLS with the certificates, without them loopback alone. off: the network is trusted.'),
  certificates: z
    .strictObject({
      caFile: absolutePath.optional().describe("PEM: the authorities of the swarm's certificates."),
      certFile: absolutePath.optional().describe("PEM: this node's certificate."),
      keyFile: absolutePath.optional().describe("PEM: this node's key."),
    })
    .superRefine((value, context) => {
      const given = Object.values(value).filter((file) => file !== undefined).length;
      if (given === 0 || given === 3) return;
      for (const key of ['caFile', 'certFile', 'keyFile'] as const) {
        if (value[key] === undefined)
          context.addIssue({
            code: 'custom',
            path: [key],
            message: 'is missing: caFile, certFile and keyFile go together',
          });
      }
    })
    .prefault({}),
  ratelimit: z
    .strictObject({
      upload: bytesPerSecond.default(0).describe('Bytes per second that go to other nodes at most. 0: no limit.'),
      download: bytesPerSecond.default(0).describe('Bytes per second that come from other nodes at most. 0: no limit.'),
    })
    .prefault({}),
  authorizationTTL: duration
    .prefault('1h')
    .describe(
      'How long, while the registry is down, credentials that it accepted for a repository are good for what the cache has: seconds, or with a unit. 0: not at all.',
    ),
  membership: membershipSchema.prefault({}),
  registryInstances: instances.prefault([]).describe("acrInstances under the on-premises chart's name."),
  plusMode: z
    .strictObject({
      downloadPattern: z
        .enum(['p2p', 'source'])
        .default('p2p')
        .describe('p2p: pieces come from other nodes, too. source: from mirrors or the registry alone.'),
      registryAccess: z
        .enum(['direct', 'mirror'])
        .default('direct')
        .describe(
          'How registries and their token servers are reached. direct: as the node itself reaches them. mirror: through a mirror, for nodes without a way out.',
        ),
      cacheTTL: duration
        .prefault('24h')
        .describe('shoal mirror: how long a piece is kept, in seconds, or with a unit. 0: until its room is needed.'),
      cacheHostPath: absolutePath
        .optional()
        .describe('shoal mirror: where its cache is. Below stateDir by default, which in a pod is lost with the pod.'),
      ossInternetAccelerate: z
        .boolean()
        .default(false)
        .describe("Fetch layers through OSS transfer acceleration, where a presigned redirect's signature allows it."),
    })
    .prefault({}),
};
