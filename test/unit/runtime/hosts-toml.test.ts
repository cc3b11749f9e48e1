import fc from 'fast-check';
import { parse } from 'smol-toml';
import { describe, expect, test } from 'vitest';
import { addMirror, removeMirror } from '../../../src/runtime/hosts-toml.ts';

const file = '/etc/containerd/certs.d/_default/hosts.toml';
const block = { port: 65002, secret: 'ab'.repeat(32) };
const url = 'http://127.0.0.1:65002';
const origin = { mode: 0o644, folders: 0 };

function add(text: string): string {
  return addMirror(file, text, block, origin);
}

/** Hosts in the order in which containerd would ask them. */
function hostsOf(text: string): string[] {
  return Object.keys(parse(text).host ?? {});
}

const written = `# our mirrors
server = "https://registry.example.com"
ca = [
  "/etc/certs/a.pem",
]
client = [
  ["/etc/certs/client.cert", "/etc/certs/client.key"],
]

# the proxy of the house
[host."https://proxy.example.com"]
  capabilities = ["pull"]
  [host."https://proxy.example.com".header]
    X-Team = ["a", "b"]
[host."https://other.example.com"]
`;

describe("Shoal's host in hosts.toml", () => {
  test('says what containerd needs and nothing that trips one of its versions', () => {
    expect(parse(addMirror(file, '', block, { mode: undefined, folders: 1 }))).toEqual({
      host: { [url]: { capabilities: ['pull', 'resolve'], header: { 'X-Shoal-Secret': block.secret } } },
    });
  });

  test("comes before the administrator's hosts, whose settings stay", () => {
    const merged = add(written);
    expect(hostsOf(merged)).toEqual([url, 'https://proxy.example.com', 'https://other.example.com']);
    const { host, ...rest } = parse(merged);
    const { host: before, ...restBefore } = parse(written);
    expect(rest).toEqual(restBefore);
    expect(host).toMatchObject(before as object);
  });

  test("leaves a table's comment at its table, and every byte as it was", () => {
    const merged = add(written);
    expect(merged).toContain('# shoal:end\n# the proxy of the house\n[host."https://proxy');
    expect(merged.replace(/# shoal:begin[\s\S]*# shoal:end\n/, '')).toBe(written);
  });

  test('a port or a secret that changed replaces the block', () => {
    const first = add(written);
    const theirs = removeMirror(file, first);
    const second = addMirror(file, theirs?.text ?? '', { ...block, port: 1 }, theirs?.origin ?? origin);
    expect(hostsOf(second)).toEqual(['http://127.0.0.1:1', 'https://proxy.example.com', 'https://other.example.com']);
    expect(removeMirror(file, second)).toEqual({ text: written, origin });
  });

  test('what an administrator adds later survives the undoing', () => {
    const later = '[host."https://late.example.com"]\n';
    const edited = add('server = "https://a"') + later;
    expect(removeMirror(file, edited)?.text).toBe(`server = "https://a"\n${later}`);
  });

  test('the origin of the file is kept with the block', () => {
    for (const from of [origin, { mode: undefined, folders: 2 }, { mode: 0o600, folders: 0 }]) {
      expect(removeMirror(file, addMirror(file, '', block, from))?.origin).toEqual(from);
    }
  });

  test('a file without the block has nothing to take out', () => {
    expect(removeMirror(file, written)).toBeUndefined();
  });
});

describe('a hosts.toml that cannot be added to is refused, with the mend:', () => {
  test.each([
    ['no TOML: containerd would ignore it', 'server = ', `${file}:1:10: not valid TOML`],
    ['a key twice', 'server = "a"\nserver = "b"', `${file}:2:`],
    ['hosts as an inline table', `host = {"https://a" = {capabilities = ["pull"]}}`, '[host."<url>"]'],
    ["Shoal's host, written by hand", `[host."${url}"]`, 'written by hand'],
  ])('%s', (_, text, message) => {
    expect(() => add(text)).toThrow(message);
  });

  test('a block whose end was removed', () => {
    expect(() => removeMirror(file, add(written).replace('# shoal:end', ''))).toThrow("Remove Shoal's lines by hand");
  });
});

describe('whatever an administrator wrote', () => {
  const word = fc.stringMatching(/^[a-z][a-z0-9-]{0,8}$/);
  const comment = fc.string({ unit: fc.constantFrom(...'abc [="]#{}\t') }).map((text) => `# ${text}`);
  const value = fc.oneof(
    fc.string().map((text) => JSON.stringify(text).replaceAll('\u007f', '')),
    fc.constantFrom(
      'true',
      '1',
      '2024-01-01T00:00:00Z',
      '[\n  ["a", "b"],\n]',
      '"""\n[host."x"]\n# text\n"""',
      "'''\n[a]'''",
    ),
  );
  const entries = (indent: string): fc.Arbitrary<string[]> =>
    fc
      .uniqueArray(fc.tuple(word, value, fc.option(comment)), { selector: ([key]) => key, maxLength: 4 })
      .map((lines) => lines.map(([key, text, note]) => `${note === null ? '' : `${note}\n`}${indent}${key} = ${text}`));
  const host = fc
    .tuple(fc.webUrl(), entries('  '), fc.boolean(), fc.option(comment))
    .map(([name, lines, header, note]) => ({
      name,
      lines: [
        ...(note === null ? [] : [note]),
        `[host.${JSON.stringify(name)}]`,
        ...lines,
        ...(header ? [`[host.${JSON.stringify(name)}.header]`, '  x-a = ["b"]'] : []),
      ],
    }));
  const hostsToml = fc
    .tuple(
      entries('').map((lines) => lines.filter((line) => !/^host /m.test(line))),
      fc.uniqueArray(host, { selector: ({ name }) => name, maxLength: 3 }),
      fc.constantFrom('\n', '\n\n', '\r\n'),
      fc.boolean(),
    )
    .map(([top, hosts, separator, ends]) => {
      const text = [...top, ...hosts.flatMap(({ lines }) => lines)].join(separator);
      return ends && text !== '' ? text + separator : text;
    })
    .filter((text) => {
      try {
        parse(text);
        return true;
      } catch {
        return false;
      }
    });

  test('stays in force behind Shoal, and comes back byte for byte', () => {
    fc.assert(
      fc.property(hostsToml, (text) => {
        const merged = add(text);
        expect(hostsOf(merged)).toEqual([url, ...hostsOf(text)]);
        expect(removeMirror(file, merged)).toEqual({ text, origin });
      }),
    );
  });
});
