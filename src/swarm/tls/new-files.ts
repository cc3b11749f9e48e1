import { rename, rm, writeFile } from 'node:fs/promises';

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

/** Writes files over those that may be there, each in one step. Who reads them in between may see one new and one old. */
export async function replaceFiles(files: readonly NewFile[]): Promise<void> {
  const temporary = ({ file }: NewFile): string => `${file}.new`;
  await Promise.all(files.map((each) => rm(temporary(each), { force: true })));
  await writeNewFiles(
    files.map((each) => ({ ...each, file: temporary(each) })),
    'somebody else is writing it at the same time',
  );
  for (const each of files) await rename(temporary(each), each.file);
}
