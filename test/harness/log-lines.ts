import { Writable } from 'node:stream';
import { pino } from 'pino';
import type { Logger } from '../../src/telemetry/log.ts';

export type LogLine = Readonly<Record<string, unknown>> & { readonly msg: string; readonly level: number };

/** A logger of all levels that keeps its lines. */
export function keptLog(): { readonly log: Logger; readonly lines: LogLine[]; line(msg: string): Promise<LogLine> } {
  const lines: LogLine[] = [];
  const waiting = new Set<() => void>();
  const sink = new Writable({
    write(chunk, _encoding, done) {
      lines.push(JSON.parse(String(chunk)));
      for (const wake of waiting) wake();
      done();
    },
  });
  return {
    log: pino({ level: 'trace' }, sink),
    lines,
    /** The first line with that message, once it is there. */
    async line(msg) {
      for (;;) {
        const found = lines.find((line) => line.msg === msg);
        if (found !== undefined) return found;
        await new Promise<void>((resolve) => {
          waiting.add(resolve);
        });
        waiting.clear();
      }
    },
  };
}
