import { deviceDepth } from '../../store/volume.ts';
import { ok, skipped, warning } from './findings.ts';
import { readBelow } from './proc.ts';
import type { Check, Finding } from './types.ts';

const about = 'kernel aio';

/** Whether the kernel has room for the disk engine's requests. */
export const aioCheck: Check = {
  group: 'system',
  about,
  boundMs: 5_000,
  run: async ({ root, config, agent }) => {
    const { mode, aio } = config.p2p.v2.cache;
    if (mode === 'memory') return [skipped(about, 'the cache is in memory alone (p2p.v2.cache.mode)')];
    if (aio === 0) return [skipped(about, 'not used: p2p.v2.cache.aio is 0')];
    const [used, most] = await Promise.all(
      ['aio-nr', 'aio-max-nr'].map(async (name) => Number(await readBelow(root, `proc/sys/fs/${name}`))),
    );
    return [
      judgeAio({
        used: used ?? Number.NaN,
        most: most ?? Number.NaN,
        held: agent.engine?.store?.disk?.engine === 'libaio',
      }),
    ];
  },
};

export interface AioRoom {
  /** fs.aio-nr and fs.aio-max-nr: requests of all processes that the kernel has room for. */
  readonly used: number;
  readonly most: number;
  /** The engine that runs has its share already. */
  readonly held: boolean;
}

export function judgeAio({ used, most, held }: AioRoom): Finding {
  if (!(most >= 0 && used >= 0)) {
    return warning(
      about,
      'this kernel has no fs.aio-max-nr: it was built without aio',
      'set p2p.v2.cache.aio: 0, which is slower',
    );
  }
  const share = `${used} of ${most} requests are taken (fs.aio-nr, fs.aio-max-nr)`;
  if (held || most - used >= deviceDepth) return ok(about, share);
  const enough = Math.max(1_048_576, 2 * most);
  return warning(
    about,
    `${share}: not enough for the ${deviceDepth} of the disk cache, which falls back on slower threads`,
    `sysctl --write fs.aio-max-nr=${enough}; to keep it, put fs.aio-max-nr=${enough} into /etc/sysctl.d/90-shoal.conf; then systemctl restart shoal`,
  );
}
