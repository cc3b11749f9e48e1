import cliProgress, { type SingleBar } from 'cli-progress';
import { createBars } from '../bars.ts';

/** How far a pull is, for who watches it. */
export interface PullProgress {
  /** A layer or the config: `bytes` is its size. */
  begin(digest: string, bytes: number): void;
  advance(digest: string, bytes: number): void;
  /** `how`: in a word, when nothing had to be pulled. */
  done(digest: string, how?: string): void;
  stop(): void;
}

const MiB = 1024 * 1024;
const shortDigest = (digest: string): string => digest.slice('sha256:'.length, 'sha256:'.length + 12);
const mebibytes = (bytes: number): string => (bytes / MiB).toFixed(1);

/** A bar for each layer on a terminal, a line for each that is done elsewhere; nothing when `quiet`. Written to standard error. */
export function createProgress(quiet: boolean): PullProgress {
  if (quiet) return { begin: () => undefined, advance: () => undefined, done: () => undefined, stop: () => undefined };
  return process.stderr.isTTY ? bars() : lines();
}

function bars(): PullProgress {
  const all = createBars({
    ...cliProgress.Presets.rect,
    format: '{digest} {bar} {percentage}% of {size} MiB {note}',
    stream: process.stderr,
    barsize: 30,
  });
  const byDigest = new Map<string, SingleBar>();
  return {
    begin: (digest, bytes) => {
      byDigest.set(digest, all.create(bytes, 0, { digest: shortDigest(digest), size: mebibytes(bytes), note: '' }));
    },
    advance: (digest, bytes) => byDigest.get(digest)?.increment(bytes),
    done: (digest, how = '') => {
      const bar = byDigest.get(digest);
      bar?.update(bar.getTotal(), { note: how });
    },
    stop: all.stop,
  };
}

function lines(): PullProgress {
  const sizes = new Map<string, number>();
  return {
    begin: (digest, bytes) => sizes.set(digest, bytes),
    advance: () => undefined,
    done: (digest, how = 'pulled') => {
      process.stderr.write(`${shortDigest(digest)} ${mebibytes(sizes.get(digest) ?? 0)} MiB ${how}\n`);
    },
    stop: () => undefined,
  };
}
