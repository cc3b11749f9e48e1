import { constants } from 'node:fs';
import { open } from 'node:fs/promises';

/**
 * The text of a plain file of at most `largest` bytes. Rejects with the system's error, or with one that says what is wrong
 * with the file; messages name neither the file nor what is in it.
 */
export async function readTextFile(file: string, largest: number): Promise<string> {
  // A FIFO would keep a blocking open waiting for its writer.
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) throw new Error('it is not a plain file');
    if (stat.size > largest) throw new Error(`it is larger than ${largest} bytes`);
    return await handle.readFile('utf8');
  } finally {
    await handle.close();
  }
}
