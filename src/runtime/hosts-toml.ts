import { isDeepStrictEqual } from 'node:util';
import { parse, type TomlTable } from 'smol-toml';
import { LOOPBACK_SECRET_HEADER } from '../config/loopback.ts';
import { isTable, parseToml } from './toml.ts';
import { RuntimeConfigError } from './types.ts';

/**
 * Shoal's host in containerd's hosts.toml: one block of lines between two markers, put in front of the administrator's
 * own hosts (containerd asks hosts in the order of the file). Nothing else of the file changes, so cutting the block out
 * gives back the former bytes.
 */
export interface MirrorBlock {
  readonly port: number;
  readonly secret: string;
}

/** What has to be known to take the block out again, kept in its first line. */
export interface BlockOrigin {
  /** Permissions of the file before; undefined when the file was made for the block. */
  readonly mode: number | undefined;
  /** Folders that were made for the file. */
  readonly folders: number;
}

export interface WithoutBlock {
  readonly text: string;
  readonly origin: BlockOrigin;
}

const beginMark = '# shoal:begin';
const endMark = '# shoal:end\n';
const ignored = 'containerd ignores the whole file, silently. Mend it, then run this again';

/** Adds the block to `text`. Throws a `RuntimeConfigError` when the file can't be added to without touching the rest. */
export function addMirror(file: string, text: string, block: MirrorBlock, origin: BlockOrigin): string {
  const before = parseToml(file, text, ignored);
  const url = mirrorUrl(block.port);
  if (isTable(before.host) && Object.hasOwn(before.host, url)) {
    throw new RuntimeConfigError(
      `${file} already has [host."${url}"], written by hand. Remove it, then run this again`,
    );
  }
  const lines = blockLines(block);
  // The block has to stand behind the file's own top-level keys and before its first table and that table's comment. A
  // line that starts with a bracket may also be part of a list or of a text over several lines: the first place that
  // proves right is taken.
  for (const place of [...text.matchAll(/^(?:[ \t]*#[^\n]*\n)*[ \t]*\[/gm)]
    .map(({ index }) => index)
    .concat(text.length)) {
    const newline = place > 0 && text[place - 1] !== '\n';
    const begin = [beginMark, ...originWords(origin), ...(newline ? ['newline'] : [])].join(' ');
    const merged = `${text.slice(0, place)}${newline ? '\n' : ''}${begin}\n${lines}${endMark}${text.slice(place)}`;
    if (isMerged(before, merged, url)) return merged;
  }
  throw new RuntimeConfigError(
    `${file} writes its hosts in a form that can't be added to. Write each as a table of its own, [host."<url>"], then run this again`,
  );
}

/** Takes the block out; undefined when there is none. Throws when its markers were damaged. */
export function removeMirror(file: string, text: string): WithoutBlock | undefined {
  const begin = text.search(/^# shoal:begin/m);
  if (begin === -1) return undefined;
  const end = text.indexOf(endMark, begin);
  if (end === -1) {
    throw new RuntimeConfigError(
      `${file} has a "${beginMark}" without its "${endMark.trim()}". Remove Shoal's lines by hand`,
    );
  }
  const words = text.slice(begin, text.indexOf('\n', begin)).split(' ');
  const rest = text.slice(end + endMark.length);
  // The line feed before the block was added with it; once something stands behind the block it is needed.
  const start = words.includes('newline') && rest === '' ? begin - 1 : begin;
  return { text: text.slice(0, start) + rest, origin: readOrigin(words) };
}

export function mirrorUrl(port: number): string {
  return `http://127.0.0.1:${port}`;
}

/**
 * No skip_verify: on an http host newer containerds would try https first. No dial_timeout: containerd before 2.1
 * doesn't know it, and a refused port on loopback fails at once.
 */
function blockLines({ port, secret }: MirrorBlock): string {
  const url = mirrorUrl(port);
  return [
    '# Written by `shoal runtime configure`; `shoal runtime configure --undo` takes out exactly this block.',
    `[host."${url}"]`,
    '  capabilities = ["pull", "resolve"]',
    `  [host."${url}".header]`,
    `    ${LOOPBACK_SECRET_HEADER} = "${secret}"`,
    '',
  ].join('\n');
}

function isMerged(before: TomlTable, merged: string, url: string): boolean {
  let after: TomlTable;
  try {
    after = parse(merged);
  } catch {
    return false;
  }
  const hosts = after.host;
  if (!isTable(hosts) || Object.keys(hosts)[0] !== url) return false;
  Reflect.deleteProperty(hosts, url);
  if (!Object.hasOwn(before, 'host')) Reflect.deleteProperty(after, 'host');
  return isDeepStrictEqual(before, after);
}

function originWords({ mode, folders }: BlockOrigin): string[] {
  return [
    mode === undefined ? 'new-file' : `mode=${mode.toString(8)}`,
    ...(folders > 0 ? [`new-folders=${folders}`] : []),
  ];
}

function readOrigin(words: readonly string[]): BlockOrigin {
  const value = (name: string): string | undefined =>
    words.find((word) => word.startsWith(`${name}=`))?.slice(name.length + 1);
  const mode = value('mode');
  return {
    mode: mode === undefined ? undefined : Number.parseInt(mode, 8) & 0o777,
    folders: Number(value('new-folders') ?? 0),
  };
}
