import type { IncomingMessage, ServerResponse } from 'node:http';
import { z } from 'zod';
import type { Logger } from '../../telemetry/log.ts';
import { traceContextOf } from '../../telemetry/trace-context.ts';
import { longestRequest, type Preheat } from './types.ts';

/** Images at once: they compete with pods' pulls. */
const atOnce = 2;
const question = z.strictObject({ image: z.string().min(1).max(1_024) });

/**
 * Answers `POST /v1/preheat` of other nodes. Whoever may take pieces may ask for it: with certificates the nodes of the swarm,
 * with `p2p.tls: off` everybody in the network. It costs what a pull costs, goes by the node's own policy and logins, and shows
 * nobody a byte.
 */
export class PreheatHandler {
  readonly #preheat: Preheat;
  readonly #log: Logger;
  #running = 0;

  constructor(preheat: Preheat, log: Logger) {
    this.#preheat = preheat;
    this.#log = log;
  }

  /** Answers when the image is here; never rejects. */
  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method !== 'POST') return answer(response, 405, { error: 'POST it' });
    if (this.#running >= atOnce)
      return answer(response, 503, { error: `${atOnce} images are being preheated already` });
    this.#running += 1;
    const gone = new AbortController();
    response.once('close', () => gone.abort(new Error('nobody waits for it any more')));
    // A large image may take longer than a piece: nobody sends anything meanwhile.
    request.socket.setTimeout(0);
    try {
      const parsed = question.safeParse(await readJson(request)).data;
      if (parsed === undefined) return answer(response, 400, { error: 'the body is {"image": "<reference>"}' });
      this.#log.info({ image: parsed.image, by: request.socket.remoteAddress }, 'preheating');
      const { traceparent, tracestate } = request.headers;
      const trace = traceContextOf(traceparent, tracestate);
      answer(response, 200, await this.#preheat(parsed.image, gone.signal, trace));
    } catch (error) {
      answer(response, 422, { error: error instanceof Error ? error.message : String(error) });
    } finally {
      this.#running -= 1;
    }
  }
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > longestRequest) throw new Error(`the body has more than ${longestRequest} bytes`);
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    // As good as any other wrong body.
    return undefined;
  }
}

function answer(response: ServerResponse, status: number, content: object): void {
  if (response.destroyed) return;
  const body = JSON.stringify(content);
  response.sendDate = false;
  response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) });
  response.end(body);
}
