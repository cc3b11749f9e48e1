import { z } from 'zod';
import { acrKeys, checkAcr, loginsSchema } from './acr.ts';
import { swarmKeys } from './swarm.ts';
import { absolutePath, duration, port, seconds } from './values.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const GiB = 1024 * MiB;
/** Bytes. The tables of a tier take some bytes for each block, and are made at the start. */
const largestTier = 4096 * GiB;

/** The kernel's limit for a socket's path: sun_path holds 108 bytes, the last one is NUL (unix(7)). */
const socketPathLimit = 107;
const socketPath = absolutePath.refine(
  (value) => Buffer.byteLength(value) <= socketPathLimit,
  `is longer than a socket's path may be: ${socketPathLimit} bytes`,
);
/** Names of sockets in `runDir` need room, too. */
const runDirLimit = 64;
const unixScheme = 'unix://';
const unixEndpoint = z
  .string()
  .refine((value) => value.startsWith(`${unixScheme}/`), 'is not a unix:///path endpoint')
  .refine(
    (value) => Buffer.byteLength(value) <= unixScheme.length + socketPathLimit,
    `is longer than a socket's path may be: ${socketPathLimit} bytes`,
  );

/**
 * The cache, under the seeds' parameter names (ACR P2P agent, appendix). Where a value is absent its default depends
 * on `mode`, as in the appendix' table.
 */
const cache = z
  .strictObject({
    mode: z
      .enum(['disk', 'memory'])
      .default('disk')
      .describe('Where pieces are kept: on a data disk, or in memory alone.'),
    blocksize: z
      .int()
      .min(64)
      .max(4096)
      .refine(
        (value) => Number.isInteger(Math.log2(value)),
        'is not a power of two: 64, 128, 256, 512, 1024, 2048 or 4096',
      )
      .default(256)
      .describe('KiB. The unit of disk allocation and the granularity of requests to the origin.'),
    capacity: z
      .int()
      .min(0)
      .max(largestTier)
      .optional()
      .describe('Bytes of the disk tier. 4294967296 in disk mode, 0 in memory mode.'),
    optionBlockSize: z
      .int()
      .min(16 * MiB)
      .max(largestTier)
      .optional()
      .describe('Bytes of the memory tier. 67108864 in disk mode, 8589934592 in memory mode.'),
    memoryCacheCapacityGB: z
      .number()
      .positive()
      .optional()
      .describe('GiB that the memory tier may not exceed. 1 in disk mode, 8 in memory mode.'),
    aio: z.literal([0, 1]).default(1).describe('1: libaio. 0: a pool of threads. Without meaning in memory mode.'),
    cacheTTL: duration
      .prefault(0)
      .describe(
        'How long a piece is kept after it was stored: seconds, or with a unit (90s, 30m, 24h, 3d). 0: until its room is needed.',
      ),
  })
  .transform((value) => ({
    ...value,
    capacity: value.capacity ?? (value.mode === 'disk' ? 4 * GiB : 0),
    optionBlockSize: value.optionBlockSize ?? (value.mode === 'disk' ? 64 * MiB : 8 * GiB),
    memoryCacheCapacityGB: value.memoryCacheCapacityGB ?? (value.mode === 'disk' ? 1 : 8),
  }))
  .superRefine((value, context) => {
    const ceiling = value.memoryCacheCapacityGB * GiB;
    if (value.optionBlockSize > ceiling) {
      context.addIssue({
        code: 'custom',
        path: ['optionBlockSize'],
        message: `${value.optionBlockSize} bytes of memory tier exceed memoryCacheCapacityGB: ${value.memoryCacheCapacityGB} (${ceiling} bytes). Lower optionBlockSize or raise memoryCacheCapacityGB`,
      });
    }
    if (value.mode === 'memory' && value.capacity !== 0) {
      context.addIssue({
        code: 'custom',
        path: ['capacity'],
        message: `a disk tier of ${value.capacity} bytes contradicts mode: memory. Leave capacity out, or set mode: disk`,
      });
    }
    if (value.mode === 'disk' && value.capacity < 64 * MiB) {
      context.addIssue({
        code: 'custom',
        path: ['capacity'],
        message: `${value.capacity} bytes are too few for a disk tier: at least ${64 * MiB}, or set mode: memory`,
      });
    }
  });

const registryHostPattern = /^[a-zA-Z0-9.-]+(:\d{1,5})?$|^\[[0-9a-fA-F:]+\](:\d{1,5})?$/;

/** One registry's peculiarities; its key is the host[:port] as it stands in image references. */
const registryHost = z.strictObject({
  plainHttp: z.boolean().optional().describe('Speak http. Loopback registries are plain by default.'),
  caFile: absolutePath.optional().describe('PEM bundle that is trusted beside the system roots.'),
});

export const configSchema = z
  .strictObject({
    listen: socketPath
      .default('/run/shoal/shoal.sock')
      .describe('The image service socket that the kubelet is pointed at.'),
    runtimeEndpoint: unixEndpoint
      .default('unix:///run/containerd/containerd.sock')
      .describe("The runtime's own CRI socket."),
    accelerate: z
      .enum(['all', 'labelled'])
      .default('all')
      .describe(
        'all: every pull. labelled: pulls for pods with the label k8s.aliyun.com/image-accelerate-mode: p2p, or in a namespace that has it.',
      ),
    kubernetes: z
      .strictObject({
        kubeconfig: absolutePath
          .optional()
          .describe(
            "A kubeconfig file, for the labels of namespaces and for events. By default p2p.membership.kubernetes.kubeconfig, else the pod's own service account.",
          ),
        events: z
          .boolean()
          .default(false)
          .describe(
            'Write an event on the pod of each accelerated pull: where its bytes came from. Needs the right to create and patch events.',
          ),
      })
      .prefault({}),
    stateDir: absolutePath.default('/var/lib/shoal').describe('Cache, index and the loopback secret.'),
    runDir: absolutePath
      .refine(
        (value) => Buffer.byteLength(value) <= runDirLimit,
        `is too long for the sockets in it: at most ${runDirLimit} bytes`,
      )
      .default('/run/shoal')
      .describe('Sockets between the processes and the command line.'),
    log: z
      .strictObject({
        level: z
          .enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'])
          .default('info')
          .describe('What the log carries at least.'),
      })
      .prefault({}),
    mirror: z
      .strictObject({
        port: port.default(65002).describe("The mirror's port on 127.0.0.1."),
        // A shard that has died is noticed within four seconds, and its pieces are asked for elsewhere after that.
        firstByteTimeout: seconds.default(10).describe('Seconds to the first byte; 503 after that.'),
        stallTimeout: seconds
          .default(15)
          .describe('Seconds without a byte in the middle of a blob; the connection is ended after that.'),
        pathFormSessions: z
          .enum(['auto', 'on', 'off'])
          .default('auto')
          .describe(
            "Whether requests of the path form (/v2/<registry>/…), which carry no secret, may ride on a pull session's credentials. CRI-O needs it. auto: only when the runtime endpoint is CRI-O's.",
          ),
      })
      .prefault({}),
    telemetry: z
      .strictObject({
        host: z
          .union([z.ipv4(), z.ipv6(), z.literal('localhost')])
          .default('127.0.0.1')
          .describe('The address of metrics, health and the status page. They show which images and pods are pulled.'),
        port: z.int().min(0).max(65535).default(65003).describe('Their port. 0: they are not served.'),
        traces: z
          .strictObject({
            endpoint: z
              .string()
              .refine((value) => /^https?:\/\/[^/]/.test(value) && URL.canParse(value), 'is no http(s) URL')
              .optional()
              .describe(
                'Where the spans of pulls go by OTLP/HTTP: http://collector:4318. Nothing is traced without it.',
              ),
            registries: z
              .array(z.string().regex(registryHostPattern, 'is not a host[:port]'))
              .default([])
              .describe(
                'Registries, by host[:port], that are told which trace a request belongs to (traceparent, tracestate): your own. No other ever is.',
              ),
          })
          .prefault({}),
      })
      .prefault({}),
    registries: z
      .strictObject({
        include: z
          .array(z.string())
          .default(['*'])
          .describe('Patterns of <registry>/<repository>; * stands for any run of characters.'),
        exclude: z.array(z.string()).default([]).describe('Patterns that win over include.'),
        hosts: z
          .record(z.string().regex(registryHostPattern, 'is not a host[:port]'), registryHost)
          .default({})
          .describe("A registry's peculiarities, by its host[:port]."),
        logins: loginsSchema.prefault({}),
      })
      .prefault({}),
    ...acrKeys,
    p2p: z
      .strictObject({
        connectTimeout: seconds
          .default(5)
          .describe('Seconds to establish a connection (seed: AgentConfig.connectTimeout).'),
        transferTimeout: seconds
          .default(15)
          .describe('Seconds without a byte after which a transfer is given up (seed: AgentConfig.transferTimeout).'),
        proxyFsParallels: z
          .int()
          .min(1)
          .max(4096)
          .default(128)
          .describe('Requests that the agent works on at once (seed: DeployConfig.proxyFsParallels).'),
        ...swarmKeys,
        v2: z.strictObject({ cache: cache.prefault({}) }).prefault({}),
      })
      .prefault({}),
  })
  .superRefine(checkAcr)
  .superRefine((value, context) => {
    if (value.runtimeEndpoint === `${unixScheme}${value.listen}`) {
      context.addIssue({
        code: 'custom',
        path: ['listen'],
        message: `is the runtime's own socket (runtimeEndpoint): Shoal would forward every call to itself. Point runtimeEndpoint at containerd's or CRI-O's socket`,
      });
    }
  });

export type Config = z.output<typeof configSchema>;
export type CacheConfig = Config['p2p']['v2']['cache'];
