import { Client } from 'undici';
import { z } from 'zod';
import type { TraceHeaders } from '../../telemetry/trace-context.ts';
import type { Member } from '../membership/types.ts';
import { namesAnyOf } from '../tls/names.ts';
import type { TransferSecurity } from '../transfer/listen-address.ts';
import { type PreheatResult, preheatPath } from './types.ts';

/** Milliseconds that a node may take for an image. */
const patienceMs = 60 * 60_000;
const largestAnswer = 64 * 1024;

const result = z.object({ bytes: z.number(), originBytes: z.number(), seconds: z.number() });
const refusal = z.object({ error: z.string() });

interface AskOptions {
  readonly security: TransferSecurity;
  readonly connectTimeoutMs: number;
  /** The trace that it belongs to. */
  readonly trace?: TraceHeaders | undefined;
}

/** Asks a node to preheat an image. Rejects with the node's own words, or with why it can't be asked. */
export async function askToPreheat(
  { id, address }: Pick<Member, 'id' | 'address'>,
  image: string,
  { security, connectTimeoutMs, trace }: AskOptions,
): Promise<PreheatResult> {
  const tls = security.kind === 'tls';
  const client = new Client(`${tls ? 'https' : 'http'}://${address}`, {
    headersTimeout: patienceMs,
    bodyTimeout: patienceMs,
    maxResponseSize: largestAnswer,
    connect: {
      timeout: connectTimeoutMs,
      ...(security.kind === 'tls' && {
        secureContext: security.certificates.clientContext,
        ALPNProtocols: ['http/1.1'],
        checkServerIdentity: (host: string, certificate: Parameters<typeof namesAnyOf>[0]) =>
          namesAnyOf(certificate, [id, host]),
      }),
    },
  });
  try {
    const { statusCode, body } = await client.request({
      method: 'POST',
      path: preheatPath,
      headers: { 'content-type': 'application/json', ...trace },
      body: JSON.stringify({ image }),
    });
    const answer: unknown = await body.json();
    if (statusCode === 200) return result.parse(answer);
    throw new Error(refusal.safeParse(answer).data?.error ?? `it answers ${statusCode}`);
  } finally {
    await client.close();
  }
}
