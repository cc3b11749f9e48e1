import type { TraceContext } from '../../telemetry/trace-context.ts';

/** What came of preheating one node. */
export interface PreheatResult {
  /** Bytes of the image that are in the node's cache now, and how many of them came from the registry. */
  readonly bytes: number;
  readonly originBytes: number;
  readonly seconds: number;
}

/** Brings an image into this node's cache, in the trace of who asked for it. Rejects with why it can't. */
export type Preheat = (image: string, signal: AbortSignal, trace?: TraceContext) => Promise<PreheatResult>;

export const preheatPath = '/v1/preheat';
/** Bytes of a request's body: an image reference has at most some hundred. */
export const longestRequest = 4_096;
