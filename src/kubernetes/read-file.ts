import { readTextFile } from '../read-file.ts';
import { KubernetesError } from './types.ts';

/** Bytes. Kubeconfigs with inline certificates of some clusters are tens of KiB, tokens one or two. */
const largestFile = 1024 * 1024;

/** The text of a credential file. `what` names it in the `KubernetesError` of kind `configuration`. */
export async function readCredentialFile(what: string, file: string): Promise<string> {
  try {
    return await readTextFile(file, largestFile);
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
