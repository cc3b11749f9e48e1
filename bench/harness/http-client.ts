import { streamingGet } from '../../test/harness/streaming-get.ts';

/**
 * GETs `url` and throws the body away. Resolves with the body's length; rejects when the answer is not a whole 200. `onData`
 * sees the body, for checks outside of the measured time.
 */
export async function discardBody(
  url: URL,
  headers: Readonly<Record<string, string>> = {},
  onData?: (bytes: Uint8Array) => void,
): Promise<number> {
  const answer = await streamingGet(url, { headers, ...(onData === undefined ? {} : { onData }) });
  const { status, received, end } = answer;
  if (status !== 200 || end !== 'complete') {
    throw new Error(`${url.href}: status ${status}, ${received} bytes came, and then ${end}`);
  }
  return received;
}
