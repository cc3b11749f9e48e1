import { readTextFile } from '../read-file.ts';
import { AcrError, reasonOf } from './errors.ts';

/** Bytes. A projected token has one or two KiB. */
const largestSecret = 64 * 1024;

/** The one line of a secret's file. Rejects with an `AcrError` that names key and file, never what is in it. */
export async function readSecret(key: string, file: string): Promise<string> {
  let text: string;
  try {
    text = (await readTextFile(file, largestSecret)).trim();
  } catch (error) {
    throw new AcrError('credentials', `${key}: ${file} can't be read: ${reasonOf(error)}`);
  }
  if (!/^[\x21-\x7e]+$/.test(text)) {
    throw new AcrError('credentials', `${key}: ${file} is empty, or has spaces or control characters in it`);
  }
  return text;
}
