import { access, constants } from 'node:fs/promises';
import { probeImageService } from '../../cri/probe.ts';
import { isRefused, needsRoot, ok, problem, reasonOf } from './findings.ts';
import type { Check, Finding } from './types.ts';

/** Milliseconds to an answer: the kubelet itself waits two minutes, a runtime that fares well needs some ten. */
const answerMs = 8_000;
/** Slower than this, pulls and the kubelet's housekeeping are felt to wait. */
const slowMs = 2_000;

/** How a socket took ImageFsInfo. */
export interface Probed {
  readonly socket: string;
  readonly milliseconds: number;
  /** The errno's name where the connection failed; `reason` in any case where there was no answer. */
  readonly code?: string | undefined;
  readonly reason?: string;
}

/** Whether Shoal answers as the kubelet wants it at its start. */
export const imageSocketCheck: Check = {
  group: 'agent',
  about: 'image socket',
  boundMs: answerMs + 1_000,
  run: async ({ config }) => [
    await judged(imageSocketCheck.about, config.listen, {
      absent: 'systemctl start shoal.socket shoal.service',
      refused: 'systemctl start shoal.service; journalctl --unit shoal says why it ended',
      silent: "see the runtime's socket below: Shoal passes this question on to it; then journalctl --unit shoal",
    }),
  ],
};

/** Whether the runtime itself answers: Shoal can't be better than that. */
export const runtimeSocketCheck: Check = {
  group: 'runtime',
  about: 'runtime socket',
  boundMs: answerMs + 1_000,
  run: async ({ config }) => {
    const unit = /crio/.test(config.runtimeEndpoint)
      ? 'crio'
      : /k3s/.test(config.runtimeEndpoint)
        ? 'k3s'
        : 'containerd';
    return [
      await judged(runtimeSocketCheck.about, config.runtimeEndpoint.replace(/^unix:\/\//, ''), {
        absent: `systemctl status ${unit}; where the runtime is another one, name its socket in runtimeEndpoint`,
        refused: `systemctl restart ${unit}`,
        silent: `systemctl status ${unit}; journalctl --unit ${unit}`,
      }),
    ];
  },
};

interface Mends {
  readonly absent: string;
  readonly refused: string;
  readonly silent: string;
}

async function judged(about: string, socket: string, mends: Mends): Promise<Finding> {
  try {
    await access(socket, constants.W_OK);
  } catch (error) {
    if (isRefused(error)) return needsRoot(about, `${socket} is not open to this user`);
    // The probe says the rest.
  }
  return judgeProbe(about, await probe(socket), mends);
}

async function probe(socket: string): Promise<Probed> {
  const began = performance.now();
  const took = () => Math.round(performance.now() - began);
  try {
    await probeImageService(socket, answerMs);
    return { socket, milliseconds: took() };
  } catch (error) {
    const reason = reasonOf(error);
    // The connection's own failure, not one that the answer tells of a socket behind this one.
    const [, code, failed] = /connect (\w+) ([^\s)]+)\)?$/.exec(reason) ?? [];
    return { socket, milliseconds: took(), ...(failed === socket && { code }), reason };
  }
}

export function judgeProbe(about: string, { socket, milliseconds, code, reason }: Probed, mends: Mends): Finding {
  if (reason !== undefined) {
    if (code === 'ENOENT') return problem(about, `${socket} is not there`, mends.absent);
    if (code === 'ECONNREFUSED') return problem(about, `${socket}: nobody listens`, mends.refused);
    return problem(about, reason, mends.silent);
  }
  if (milliseconds <= slowMs) return ok(about, `${socket} answers ImageFsInfo (${milliseconds} ms)`);
  const says = `${socket} took ${milliseconds} ms for ImageFsInfo: the node's disk or the runtime is busy`;
  return { about, level: 'warning', says, mend: mends.silent };
}
