import { access, mkdir, readFile, rename, stat } from 'node:fs/promises';
import path from 'node:path';
import { Ajv } from 'ajv';
import { parse, parseAllDocuments } from 'yaml';
import { packageRoot } from '../../src/paths.ts';
import { run } from './process.ts';

export const chartFolder = path.join(packageRoot, 'deploy/chart');

export type Values = { readonly [key: string]: unknown };

export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly [key: string]: unknown;
}

export interface Rendered {
  readonly manifests: readonly Manifest[];
  readonly notes: string;
}

export interface RenderOptions {
  /** As of `-f`: over values.yaml. */
  readonly values?: Values;
  /** `--set` arguments, over `values`. */
  readonly set?: readonly string[];
  readonly release?: string;
  readonly namespace?: string;
}

/** What `helm template` gives: values checked against the schema, templates rendered, YAML parsed. Rejects where Helm fails. */
export async function renderChart(options: RenderOptions = {}): Promise<Rendered> {
  const { release = 'ack-acr-acceleration-p2p', namespace = 'aliyun-acr-acceleration' } = options;
  const request = {
    chart: chartFolder,
    values: await checkedValues(options),
    release: { Name: release, Namespace: namespace, Service: 'Helm', Revision: 1, IsInstall: true, IsUpgrade: false },
    kubeVersion: { Version: 'v1.31.0', Major: '1', Minor: '31' },
    apiVersions: [],
  };
  const files: Record<string, string> = JSON.parse(await run([await renderer()], { input: JSON.stringify(request) }));
  const manifests = Object.entries(files)
    .filter(([name]) => name.endsWith('.yaml'))
    .flatMap(([name, text]) => documents(name, text));
  return { manifests, notes: files['templates/NOTES.txt'] ?? '' };
}

function documents(name: string, text: string): Manifest[] {
  return parseAllDocuments(text).flatMap((document) => {
    const [error] = document.errors;
    if (error) throw new Error(`${name}: ${error.message}\n${text}`);
    const content: Manifest | null = document.toJS();
    return content === null ? [] : [content];
  });
}

const readChart = (name: string): Promise<string> => readFile(path.join(chartFolder, name), 'utf8');

async function checkedValues({ values = {}, set = [] }: RenderOptions): Promise<Values> {
  const merged = set.reduce(
    (below, text) => merge(below, parseSet(text)),
    merge(parse(await readChart('values.yaml')), values),
  );
  const ajv = new Ajv({ allErrors: true, strict: false });
  const validate = ajv.compile(JSON.parse(await readChart('values.schema.json')));
  if (!validate(merged)) throw new Error(`values don't meet the schema: ${ajv.errorsText(validate.errors)}`);
  return merged;
}

/** One tree of values over another; null takes a key away. */
function merge(below: Values, above: Values): Values {
  return overlay(below, above, true);
}

function overlay(below: Values, above: Values, nullRemoves: boolean): Values {
  const merged = new Map(Object.entries(below));
  for (const [key, value] of Object.entries(above)) {
    const known = merged.get(key);
    if (value === null && nullRemoves) merged.delete(key);
    else merged.set(key, isValues(value) && isValues(known) ? overlay(known, value, nullRemoves) : value);
  }
  return Object.fromEntries(merged);
}

function isValues(value: unknown): value is Values {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Helm's `--set`: `a.b=1,c={x,y}`, with backslashes before commas and dots that are meant; no indices. */
export function parseSet(text: string): Values {
  return splitOutside(text, ',')
    .map((assignment) => {
      const equals = assignment.indexOf('=');
      if (equals < 0) throw new Error(`--set ${text}: key ${JSON.stringify(assignment)} has no value`);
      const keys = splitOutside(assignment.slice(0, equals), '.').map(withoutBackslashes);
      const value = typed(assignment.slice(equals + 1));
      return keys.reduceRight<unknown>((inner, key) => ({ [key]: inner }), value) as Values;
    })
    .reduce((below, above) => overlay(below, above, false), {});
}

function splitOutside(text: string, separator: string): string[] {
  return text.match(new RegExp(`(?:\\{[^}]*\\}|\\\\.|[^\\\\${separator}])+`, 'g')) ?? [];
}

const withoutBackslashes = (text: string): string => text.replace(/\\(.)/g, '$1');

/** strvals' types: null, true, false, integers without a leading zero; all else is text. */
function typed(text: string): unknown {
  if (/^\{.*\}$/.test(text)) return splitOutside(text.slice(1, -1), ',').map(typed);
  if (text === 'null') return null;
  if (text === 'true' || text === 'false') return text === 'true';
  return /^(0|-?[1-9]\d*)$/.test(text) ? Number(text) : withoutBackslashes(text);
}

let built: Promise<string> | undefined;

/** The renderer, compiled with Debian's Go and its packages when its source is newer. */
function renderer(): Promise<string> {
  built ??= build(path.join(packageRoot, 'build/helm-render'), path.join(packageRoot, 'test/harness/helm/main.go'));
  return built;
}

async function build(program: string, source: string): Promise<string> {
  const [made, changed] = await Promise.all([stat(program).catch(() => undefined), stat(source)]);
  if (made !== undefined && made.mtimeMs > changed.mtimeMs) return program;
  await access('/usr/bin/go').catch(() => {
    throw new Error('the chart is rendered by a Go program: `make setup` as root installs golang-go');
  });
  await mkdir(path.dirname(program), { recursive: true });
  const temporary = `${program}.${process.pid}`;
  const env = { GO111MODULE: 'off', GOPATH: '/usr/share/gocode', GOFLAGS: '' };
  await run(['/usr/bin/go', 'build', '-o', temporary, source], { env });
  await rename(temporary, program);
  return program;
}
