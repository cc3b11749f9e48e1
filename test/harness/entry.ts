import path from 'node:path';

/** The program under test: the built one when SHOAL_ENTRY names it, else the sources. */
export const entry = process.env.SHOAL_ENTRY || path.resolve(import.meta.dirname, '../../src/cli/main.ts');
