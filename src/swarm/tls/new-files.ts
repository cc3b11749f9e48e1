import { rm, writeFile } from 'node:fs/promises';

export interface NewFile {
  readonly file: string;
  readonly text: string;
  readonly mode: number;
}

/** Writes files that must not be there yet: all or none of them. Rejects with the file's name and `mend`. */
export async function writeNewFiles(files: readonly NewFile[], mend: string): Promise<void> {
  const written: string[] = [];
  try {
    for (const { file, text, mode } of files) {
      await writeFile(file, text, { mode, flag: 'wx', flush: true });
      written.push(file);
    }
  } catch (error) {
    await Promise.all(written.map((file) => rm(file, { force: true })));
    const { code, path: file } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') throw new Error(`${file} exists: ${mend}`, { cause: error });
    throw error;
  }
}
