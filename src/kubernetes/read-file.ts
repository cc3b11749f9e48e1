import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { KubernetesError } from './types.ts';

/** Bytes. Kubeconfigs with inline certificates of some clusters are tens of KiB, tokens one or two. */
const largestFile = 1024 * 1024;

/** The text of a credential file. `what` names it in the `KubernetesError` of kind `configuration`. */
export async function readCredentialFile(what: string, file: string): Promise<string> {
  try {
    // A FIFO would keep a blocking open waiting for its writer.
    const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const stat = await handle.stat();
      if (!stat.isFile()) throw new Error('it is not a plain file');
      if (stat.size > largestFile) throw new Error(`it is larger than ${largestFile} bytes`);
      return await handle.readFile('utf8');
    } finally {
      await handle.close();
    }
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new KubernetesError('configuration', `${what} ${file} can't be read: ${reason}`, { cause });
  }
}

/** A bearer token file's content, which becomes a header. */
export async function readTokenFile(file: string): Promise<string> {
  return checkToken(`token file ${file}`, await readCredentialFile('token file', file));
}

/** A token without the newline that editors leave behind it. `where` is for the error; the token is not told. */
export function checkToken(where: string, text: string): string {
  const token = text.trim();
  if (!/^[\x21-\x7e]+$/.test(token)) {
    throw new KubernetesError('configuration', `${where} holds no bearer token: it is empty or has other characters`);
  }
  return token;
}
