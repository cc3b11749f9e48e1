import { statusError } from './failure.ts';
import { isRecord, textAt } from './record.ts';
import { KubernetesError, type KubernetesObject, type WatchEvent } from './types.ts';

/** One page of a list. */
export interface ListPage {
  readonly objects: readonly KubernetesObject[];
  readonly resourceVersion: string;
  /** For the next page; undefined on the last. */
  readonly continueToken: string | undefined;
}

/** Reads a list's page; `request` is for messages. Throws a `KubernetesError` of kind `invalid`. */
export function parsePage(request: string, body: Buffer): ListPage {
  const list = parseJson(request, body.toString('utf8'));
  const metadata = isRecord(list.metadata) ? list.metadata : {};
  const resourceVersion = textAt(metadata, 'resourceVersion');
  // A list without items is written as null by Go servers.
  const items = list.items ?? [];
  if (resourceVersion === undefined || resourceVersion === '' || !Array.isArray(items)) {
    throw new KubernetesError('invalid', `${request}: the answer is not a Kubernetes list (kind: ${kindOf(list)})`);
  }
  return {
    objects: items.map((item: unknown) => parseObject(request, item)),
    resourceVersion,
    continueToken: textAt(metadata, 'continue') || undefined,
  };
}

/** Reads one line of a watch. An event of type ERROR is thrown as what its Status means. */
export function parseWatchEvent(request: string, line: string): WatchEvent {
  const { type, object } = parseJson(request, line);
  switch (type) {
    case 'ADDED':
    case 'MODIFIED':
    case 'DELETED':
      return { type, object: parseObject(request, object) };
    case 'BOOKMARK': {
      const metadata = isRecord(object) && isRecord(object.metadata) ? object.metadata : {};
      const resourceVersion = textAt(metadata, 'resourceVersion');
      if (!resourceVersion) throw new KubernetesError('invalid', `${request}: a bookmark without a resourceVersion`);
      return { type, resourceVersion };
    }
    case 'ERROR': {
      const status = isRecord(object) && typeof object.code === 'number' ? object.code : 500;
      throw statusError(request, { status, body: object, retryAfter: undefined });
    }
    default:
      throw new KubernetesError('invalid', `${request}: not a watch event: ${JSON.stringify(line.slice(0, 80))}`);
  }
}

/** Reads the answer to a request for one object. Throws a `KubernetesError` of kind `invalid`. */
export function parseAnswer(request: string, body: Buffer): KubernetesObject {
  return parseObject(request, parseJson(request, body.toString('utf8')));
}

function parseObject(request: string, value: unknown): KubernetesObject {
  const metadata = isRecord(value) && isRecord(value.metadata) ? value.metadata : {};
  const name = textAt(metadata, 'name');
  const resourceVersion = textAt(metadata, 'resourceVersion');
  if (!isRecord(value) || !name || !resourceVersion) {
    throw new KubernetesError('invalid', `${request}: an object without metadata.name or metadata.resourceVersion`);
  }
  return { namespace: textAt(metadata, 'namespace') ?? '', name, resourceVersion, content: value };
}

function parseJson(request: string, text: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new KubernetesError('invalid', `${request}: the answer is not JSON`, { cause });
  }
  if (!isRecord(value)) throw new KubernetesError('invalid', `${request}: the answer is not a JSON object`);
  return value;
}

function kindOf(list: Readonly<Record<string, unknown>>): string {
  return JSON.stringify(textAt(list, 'kind')?.slice(0, 80) ?? 'none');
}
