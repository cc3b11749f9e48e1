/** One line of a metrics page. */
export interface MetricSample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** A page in Prometheus' text format 0.0.4, read strictly. */
export interface MetricsText {
  readonly types: ReadonlyMap<string, string>;
  readonly samples: readonly MetricSample[];
  /** The value of the only sample that has these labels, among others. Throws when there is none, or several. */
  value(name: string, labels?: Readonly<Record<string, string>>): number;
}

const sampleLine = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/;
const label = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"(?:,|$)/y;

/** Throws at the first line that Prometheus would not take. */
export function parseMetrics(text: string): MetricsText {
  const types = new Map<string, string>();
  const helped = new Set<string>();
  const samples: MetricSample[] = [];
  const seen = new Set<string>();
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const [, help] = /^# HELP (\S+) \S/.exec(line) ?? [];
    const [, typed, type] = /^# TYPE (\S+) (counter|gauge|histogram)$/.exec(line) ?? [];
    if (help !== undefined) helped.add(help);
    else if (typed !== undefined && type !== undefined) {
      if (types.has(typed)) throw new Error(`${typed} is there twice`);
      if (!helped.has(typed)) throw new Error(`${typed} has no help`);
      types.set(typed, type);
    } else {
      if (seen.has(line.replace(/ \S+$/, ''))) throw new Error(`a sample is there twice: ${line}`);
      seen.add(line.replace(/ \S+$/, ''));
      samples.push(parseSample(line, types));
    }
  }
  return {
    types,
    samples,
    value(name, labels = {}) {
      const found = samples.filter(
        (sample) =>
          sample.name === name && Object.entries(labels).every(([key, value]) => sample.labels[key] === value),
      );
      const [first] = found;
      if (first === undefined || found.length > 1) {
        throw new Error(`${found.length} samples of ${name} ${JSON.stringify(labels)}`);
      }
      return first.value;
    },
  };
}

function parseSample(line: string, types: ReadonlyMap<string, string>): MetricSample {
  const [, name = '', inner = '', number = ''] = sampleLine.exec(line) ?? [];
  const family = types.has(name) ? name : name.replace(/_(bucket|sum|count)$/, '');
  if (!types.has(family)) throw new Error(`no type for: ${line}`);
  const value = number === '+Inf' ? Number.POSITIVE_INFINITY : Number(number);
  if (Number.isNaN(value)) throw new Error(`no number in: ${line}`);
  const labels: Record<string, string> = {};
  label.lastIndex = 0;
  while (label.lastIndex < inner.length) {
    const match = label.exec(inner);
    if (match === null) throw new Error(`broken labels in: ${line}`);
    labels[match[1] ?? ''] = match[2] ?? '';
  }
  return { name, labels, value };
}
