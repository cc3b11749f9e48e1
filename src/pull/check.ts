import { type Credentials, type ImageReference, type RegistryClient, RegistryError } from '../registry/types.ts';
import type { Logger } from '../telemetry/log.ts';
import type { TraceHeaders } from '../telemetry/trace-context.ts';
import type { Authorizations } from './authorizations.ts';
import { type ImageContents, resolveImage } from './image.ts';

/**
 * A registry that has not answered for so long counts as down, where its earlier answer will do. Below the mirror's bound for the
 * first byte (`mirror.firstByteTimeout`), else the runtime would be sent to that registry. Milliseconds.
 */
const patienceMs = 2_500;

export interface CheckOptions {
  readonly client: Pick<RegistryClient, 'getManifest'>;
  readonly authorizations: Authorizations;
  readonly log: Logger;
}

/** One pull's question to the registry. */
export interface ImageQuestion {
  readonly reference: ImageReference;
  readonly credentials: Credentials;
  readonly credentialsKey: string;
  readonly trace?: TraceHeaders | undefined;
}

/**
 * Asks the registry for an image, with the pull's own credentials. Where the registry is down, its answer of not long ago to the
 * same credentials stands (`Authorizations`). Rejects with a `RegistryError`, or with the signal's reason.
 */
export async function checkImage(
  { client, authorizations, log }: CheckOptions,
  { reference, credentials, credentialsKey, trace }: ImageQuestion,
  signal: AbortSignal,
): Promise<ImageContents> {
  const name = reference.digest ?? reference.tag ?? 'latest';
  const answer = resolveImage(client, reference, { credentials, signal, trace }).then(
    (contents) => {
      authorizations.accepted(reference, name, credentialsKey, contents);
      return contents;
    },
    (error: unknown) => {
      if (error instanceof RegistryError && isRefusal(error)) authorizations.refused(reference, name, credentialsKey);
      throw error;
    },
  );
  const known = authorizations.find(reference, name, credentialsKey);
  if (known === undefined) return answer;
  const stand = (cause: string): ImageContents => {
    const seconds = Math.round(known.age / 1000);
    log.warn(
      { registry: reference.registry, repository: reference.repository, cause, seconds },
      'the registry is down; its answer of before stands',
    );
    return known.contents;
  };
  const { promise: late, resolve } = Promise.withResolvers<ImageContents>();
  const timer = setTimeout(() => resolve(stand(`no answer within ${patienceMs / 1000} s`)), patienceMs);
  try {
    return await Promise.race([answer, late]);
  } catch (error) {
    if (signal.aborted || !(error instanceof RegistryError) || error.kind !== 'unavailable') throw error;
    return stand(error.message);
  } finally {
    clearTimeout(timer);
  }
}

function isRefusal({ kind }: RegistryError): boolean {
  return kind === 'unauthorized' || kind === 'denied' || kind === 'not-found';
}
