import type { ServerResponse } from 'node:http';
import type { BlobChunk, OpenBlob } from '../pull/types.ts';
import { PullError } from '../pull/types.ts';
import { untilAborted } from '../until-aborted.ts';
import type { BlobPlan } from './blob-plan.ts';
import { ChunkWindow } from './chunk-window.ts';
import { endWithFin } from './connection.ts';
import type { Patience } from './patience.ts';

/** A chunk and the text that goes before it. */
interface Segment {
  readonly preamble: string;
  readonly chunk: BlobChunk;
}

export interface SendOptions {
  readonly signal: AbortSignal;
  /** Runs already, for the first byte; from then on it watches over every wait for the backend. */
  readonly patience: Patience;
  /** Seconds without a chunk from the backend. */
  readonly stallTimeout: number;
}

/**
 * Sends a blob as planned. Before the first chunk is there nothing is sent and errors are thrown, so that the answer can
 * still be another one. After that an error ends the connection with FIN, and is thrown, too; the client goes on from
 * there by itself.
 */
export async function sendBlob(
  response: ServerResponse,
  blob: OpenBlob,
  plan: BlobPlan,
  { signal, patience, stallTimeout }: SendOptions,
): Promise<void> {
  const window = new ChunkWindow(response);
  const segments = readSegments(blob, plan, signal);
  try {
    for (;;) {
      const segment = await nextSegment(segments, signal);
      patience.stop();
      if (segment === undefined) break;
      if (!response.headersSent) response.writeHead(plan.status, plan.headers);
      if (segment.preamble !== '') response.write(segment.preamble);
      window.write(segment.chunk);
      await untilAborted(window.room(), signal);
      patience.start(stallTimeout, () => new PullError('unavailable', `no byte came for ${stallTimeout} s`));
    }
    if (!response.headersSent) response.writeHead(plan.status, plan.headers);
    response.end(plan.epilogue);
  } catch (error) {
    if (response.headersSent && response.socket !== null) endWithFin(response.socket);
    throw error;
  } finally {
    patience.stop();
    // Lets go of what was fetched ahead. It may have to wait for a slow backend, which is nobody's concern here.
    segments.return().catch(() => undefined);
  }
}

/** The next segment, or undefined at the end. One that comes after the request was aborted is released at once. */
async function nextSegment(segments: AsyncGenerator<Segment, void>, signal: AbortSignal): Promise<Segment | undefined> {
  const next = segments.next();
  try {
    const result = await untilAborted(next, signal);
    return result.done ? undefined : result.value;
  } catch (error) {
    next.then(({ value }) => value?.chunk.release()).catch(() => undefined);
    throw error;
  }
}

/** The plan's parts in order. Throws when the backend gives more or fewer bytes than it was asked for. */
async function* readSegments(blob: OpenBlob, { parts }: BlobPlan, signal: AbortSignal): AsyncGenerator<Segment, void> {
  for (const part of parts) {
    let { preamble } = part;
    let offset = part.start;
    for await (const chunk of blob.read(part.start, part.end, signal)) {
      offset += chunk.bytes.length;
      if (offset > part.end) {
        chunk.release();
        throw new Error(`the backend gave more than the bytes ${part.start} to ${part.end} of ${blob.digest}`);
      }
      yield { preamble, chunk };
      preamble = '';
    }
    if (offset < part.end) {
      throw new Error(`the backend gave the bytes ${part.start} to ${offset} of ${blob.digest} instead of ${part.end}`);
    }
  }
}
