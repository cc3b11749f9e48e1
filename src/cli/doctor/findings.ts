import type { Finding } from './types.ts';

export function ok(about: string, says: string): Finding {
  return { about, level: 'ok', says };
}

export function warning(about: string, says: string, mend: string): Finding {
  return { about, level: 'warning', says, mend };
}

export function problem(about: string, says: string, mend: string): Finding {
  return { about, level: 'problem', says, mend };
}

/** `says`: why. */
export function skipped(about: string, says: string, mend?: string): Finding {
  return { about, level: 'skipped', says, ...(mend !== undefined && { mend }) };
}

/** `what`: the file, socket or process that only root may look at. */
export function needsRoot(about: string, what: string): Finding {
  return skipped(about, `needs root: ${what}`);
}

/** The errno's name of a system error; undefined for any other. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** The system refused this user; root would not be refused. */
export function isRefused(error: unknown): boolean {
  for (let each = error; each instanceof Error; each = each.cause) {
    if (codeOf(each) === 'EACCES' || codeOf(each) === 'EPERM') return true;
  }
  return false;
}

export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/**
 * Shoal's own errors say the mend behind the cause, as a sentence of its own: `<cause>. <Mend>`. Where one doesn't, `otherwise` is
 * the mend.
 */
export function splitMend(message: string, otherwise: string): { readonly says: string; readonly mend: string } {
  const at = message.search(/\. [A-Z`]/);
  return at === -1 ? { says: message, mend: otherwise } : { says: message.slice(0, at), mend: message.slice(at + 2) };
}
