import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, type Node, type Pair, parseDocument } from 'yaml';
import type { Finding } from './errors.ts';

/** A configuration file, parsed but not yet checked against the schema. */
export interface ConfigDocument {
  /** Plain objects, arrays and scalars; an empty object for an empty file. */
  readonly tree: unknown;
  readonly findings: readonly Finding[];
  /** `file:line:column` of the value at `path`, or of its key; of the nearest section that is there otherwise. */
  locate(path: readonly PropertyKey[], part: 'key' | 'value'): string;
  /** Whether the file itself says something at `path`. */
  has(path: readonly PropertyKey[]): boolean;
}

/** Bytes. The largest useful file has some kilobytes. */
export const maxConfigBytes = 256 * 1024;
/** Nodes that aliases may add altogether, so that a small file can't unfold into a large tree. */
const maxAliasCount = 100;
/** Deeper nesting than any configuration has; a parser's recursion ends here and not at the stack's end. */
const maxDepth = 64;

export function parseConfigDocument(file: string, text: string): ConfigDocument {
  const problem = (message: string, where = file): ConfigDocument => ({
    tree: {},
    findings: [{ where, key: '', message }],
    locate: () => file,
    has: () => false,
  });
  if (Buffer.byteLength(text) > maxConfigBytes) {
    return problem(`is larger than a configuration may be: ${maxConfigBytes} bytes`);
  }
  if (deepestFlow(text) > maxDepth) return problem(`is nested more than ${maxDepth} levels deep`);
  const lines = new LineCounter();
  const position = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${file}:${line}:${col}`;
  };
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true, strict: true });
  const errors = [...document.errors, ...document.warnings];
  if (errors.length > 0) {
    return {
      ...problem(''),
      findings: errors.map((error) => ({ where: position(error.pos[0]), key: '', message: yamlMessage(error) })),
    };
  }
  let tree: unknown;
  try {
    tree = document.toJS({ maxAliasCount }) ?? {};
  } catch (error) {
    return problem(`YAML: ${error instanceof Error ? error.message : String(error)}`);
  }
  return {
    tree,
    findings: [],
    locate(path, part) {
      for (let length = path.length; length > 0; length--) {
        const found = find(document, path.slice(0, length));
        const node = part === 'key' && length === path.length ? (found?.key ?? found?.value) : found?.value;
        if (node?.range) return position(node.range[0]);
      }
      return file;
    },
    has: (path) => find(document, path) !== undefined,
  };
}

/** Brackets and braces open at once, at most. Counts those in quotes, too: nobody quotes 64 of them. */
function deepestFlow(text: string): number {
  let depth = 0;
  let deepest = 0;
  for (const character of text) {
    if (character === '[' || character === '{') deepest = Math.max(deepest, ++depth);
    else if (character === ']' || character === '}') depth--;
  }
  return deepest;
}

function yamlMessage(error: { code: string; message: string }): string {
  if (error.code === 'DUPLICATE_KEY') return 'this key stands here twice; keep one of them';
  if (error.code === 'MULTIPLE_DOCS') return 'a second YAML document starts here; the configuration is one document';
  return `not valid YAML: ${error.message}`;
}

interface Found {
  readonly key: Node | undefined;
  readonly value: Node;
}

function find(document: Document, path: readonly PropertyKey[]): Found | undefined {
  let found: Found | undefined = isNode(document.contents) ? { key: undefined, value: document.contents } : undefined;
  for (const segment of path) {
    if (found === undefined) return undefined;
    const node = isAlias(found.value) ? found.value.resolve(document) : found.value;
    found = childOf(node, segment);
  }
  return found;
}

function childOf(node: unknown, segment: PropertyKey): Found | undefined {
  if (isSeq(node)) {
    const item = node.items[Number(segment)];
    return isNode(item) ? { key: undefined, value: item } : undefined;
  }
  if (!isMap(node)) return undefined;
  const pair: Pair | undefined = node.items.find(({ key }) => isScalar(key) && String(key.value) === String(segment));
  if (!pair) return undefined;
  const key = isNode(pair.key) ? pair.key : undefined;
  const value = isNode(pair.value) ? pair.value : key;
  return value && { key, value };
}

function isNode(value: unknown): value is Node {
  return isMap(value) || isSeq(value) || isScalar(value) || isAlias(value);
}
