import type { Config } from '../config/schema.ts';

const answerBoundMs = 3_000;

/**
 * What the supervisor answers on the telemetry port, also while the engine is away: `/api/status`, `/api/peers`. Undefined where
 * nobody is there, or somebody else.
 */
export async function askTelemetry<Answer>(
  { host, port }: Config['telemetry'],
  path: string,
): Promise<Answer | undefined> {
  if (port === 0) return undefined;
  const dialled = { '0.0.0.0': '127.0.0.1', '::': '::1' }[host] ?? host;
  const authority = dialled.includes(':') ? `[${dialled}]` : dialled;
  try {
    const answer = await fetch(`http://${authority}:${port}${path}`, { signal: AbortSignal.timeout(answerBoundMs) });
    return answer.ok ? ((await answer.json()) as Answer) : undefined;
  } catch {
    return undefined;
  }
}
