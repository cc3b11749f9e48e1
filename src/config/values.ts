import path from 'node:path';
import { z } from 'zod';

/** Kinds of values that several sections of the configuration have. */

export const port = z.int().min(1).max(65535);
export const seconds = z.number().positive().max(3600);
export const absolutePath = z.string().refine(path.isAbsolute, 'is not an absolute path');

/** A length of time in seconds: a number, or one with a unit: `90s`, `30m`, `24h`, `3d`. */
export const duration = z
  .union([
    z.number().min(0),
    z.string().regex(/^\d+(\.\d+)?[smhd]?$/, 'a number of seconds, or one with a unit: 90s, 30m, 24h, 3d'),
  ])
  .transform(toSeconds);

function toSeconds(value: number | string): number {
  if (typeof value === 'number') return value;
  const unit = { s: 1, m: 60, h: 3600, d: 86_400 }[value.slice(-1)];
  return unit === undefined ? Number(value) : Number(value.slice(0, -1)) * unit;
}
