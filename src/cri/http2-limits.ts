import type { SessionOptions } from 'node:http2';

const KiB = 1024;
const MiB = 1024 * KiB;

/**
 * Bounds of one HTTP/2 session, towards the kubelet and towards the runtime. With Node's defaults a session with a few
 * messages of 16 MiB in flight ends in ENHANCE_YOUR_CALM (10 MB a session), and its window of 64 KiB makes a message
 * of that size take hundreds of round trips.
 */
export const sessionLimits: SessionOptions = {
  /** MB that a session may hold in all: a ceiling, reached only by hundreds of calls whose reader stands still. */
  maxSessionMemory: 1024,
  /** Status details and metadata: far above what kubelet and runtimes send, and bounded. */
  maxHeaderListPairs: 1024,
  maxSendHeaderBlockLength: 256 * KiB,
  settings: { initialWindowSize: MiB, maxHeaderListSize: 256 * KiB, enablePush: false },
};

/** The window of a whole session, in bytes: not the bound of a single call. */
export const sessionWindowBytes = 16 * MiB;
