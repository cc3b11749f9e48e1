import type { TraceScope } from '../telemetry/trace-scope.ts';
import type { PullError } from './types.ts';

/**
 * What the pull room tells of its work while it works. Each call stands for something that a person would want to see later;
 * none may throw or wait, and with `unobserved` none costs more than the call.
 */

/** Where a pull's bytes came from. `mirror`: a node of that role; `peer`: any other node; `origin`: the registry. */
export const byteSources = ['memory', 'disk', 'peer', 'mirror', 'origin'] as const;
export type ByteSource = (typeof byteSources)[number];

/** Bytes by where they came from. */
export type BytesBySource = Record<ByteSource, number>;

export function noBytes(): BytesBySource {
  return { memory: 0, disk: 0, peer: 0, mirror: 0, origin: 0 };
}

/** A pull that is accelerated: how it came in. */
export interface ObservedPull {
  /** The image reference as the kubelet gave it. */
  readonly image: string;
  /** The policy's rule, in words. */
  readonly rule: string;
  readonly pod?: { readonly namespace: string; readonly name: string; readonly uid?: string };
  /** W3C trace context of the request. */
  readonly traceparent?: string;
}

/** A piece that came for a pull: once when it was fetched, or when the runtime took it from the cache. */
export interface ObservedPiece {
  readonly digest: string;
  readonly index: number;
  readonly bytes: number;
  readonly source: ByteSource;
  /** Who sent it: a member's id, or the registry's host. Absent for the cache. */
  readonly from?: string;
  /** The sender's zone, where it is known. */
  readonly zone?: string;
  /** Milliseconds since it was asked for. Absent for the cache. */
  readonly tookMs?: number;
}

/** The runtime's answer to the kubelet; `cancelled` when nobody waited for it any more. */
export type PullOutcome =
  | { readonly result: 'ok' | 'cancelled' }
  /** `error`: the runtime's words, made fit for a log. */
  | { readonly result: 'failed'; readonly error: string };

/** One pull, or all requests together that ride on no session. */
export interface PullTrace {
  /** Its place in a trace that is recorded: for what is asked of others. */
  readonly scope?: TraceScope | undefined;
  /** The registry showed the image: its layers in the order of unpacking. */
  manifest(layers: readonly { readonly digest: string; readonly size: number }[]): void;
  /** The runtime asked for a blob of `size` bytes. */
  requested(digest: string, size: number): void;
  piece(piece: ObservedPiece): void;
  /** Bytes of a blob went to the runtime. */
  delivered(digest: string, bytes: number): void;
  /** Something went wrong; the pull may go on all the same. */
  failed(error: PullError): void;
  /** The runtime's pull failed with Shoal in its path: it pulls once more without. */
  fellBack(): void;
  ended(outcome: PullOutcome): void;
}

export interface PullObserver {
  /** A pull was let in. `tracestate` belongs to its `traceparent`. */
  opened(pull: ObservedPull, tracestate?: string): PullTrace;
  /** For requests that ride on no session: pause images, `ctr`, podman. */
  readonly direct: PullTrace;
  /** A blob's SHA-256 was wrong. */
  mismatched(digest: string): void;
}

const silent: PullTrace = {
  manifest: () => undefined,
  requested: () => undefined,
  piece: () => undefined,
  delivered: () => undefined,
  failed: () => undefined,
  fellBack: () => undefined,
  ended: () => undefined,
};

/** The name of a blob's span below its pull's (`TraceScope`). */
export function layerSpan(digest: string): string {
  return `layer ${digest}`;
}

/** The same of the registry's check. */
export const manifestSpan = 'manifest';

/** Nobody looks. */
export const unobserved: PullObserver = { opened: () => silent, direct: silent, mismatched: () => undefined };
