import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { DistributionSnapshot } from './distribution.ts';

export type Labels = Readonly<Record<string, string>>;

/** A value with its labels. */
export type Sample = readonly [value: number, labels?: Labels];

interface Described {
  readonly name: string;
  readonly help: string;
  readonly labels?: readonly string[];
}

/** A metric, and where its values stand in what was observed. */
export type MetricDefinition<View> =
  | (Described & { readonly type: 'counter' | 'gauge'; readonly read: (view: View) => Iterable<Sample> })
  | (Described & {
      readonly type: 'histogram';
      readonly read: (view: View) => Iterable<readonly [values: DistributionSnapshot, labels?: Labels]>;
    });

/** The values of a metric as prom-client writes them. */
interface Written {
  readonly metricName?: string;
  readonly value: number;
  readonly labels: Record<string, string | number>;
}

/**
 * Metrics whose values are kept elsewhere, in plain counters, and read only when somebody asks: what is counted costs an
 * addition, and nothing where nobody asks.
 */
export class MetricPage<View> {
  readonly #registry = new Registry();
  #view: View | undefined;

  constructor(definitions: readonly MetricDefinition<View>[]) {
    for (const definition of definitions) this.#add(definition);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** The page in Prometheus' text format. */
  async render(view: View): Promise<string> {
    this.#view = view;
    return await this.#registry.metrics();
  }

  #add(definition: MetricDefinition<View>): void {
    const { name, help, labels = [] } = definition;
    const config = { name, help, labelNames: labels, registers: [this.#registry] };
    const page = this;
    switch (definition.type) {
      case 'counter': {
        const { read } = definition;
        new Counter({
          ...config,
          collect() {
            page.#empty(this, labels);
            for (const [value, own = {}] of page.#read(read)) this.inc(own, value);
          },
        });
        return;
      }
      case 'gauge': {
        const { read } = definition;
        new Gauge({
          ...config,
          collect() {
            page.#empty(this, labels);
            for (const [value, own = {}] of page.#read(read)) this.set(own, value);
          },
        });
        return;
      }
      case 'histogram': {
        const { read } = definition;
        new ReadHistogram(config, () => page.#read(read));
        return;
      }
    }
  }

  /** prom-client gives a metric without labels the value 0, which nobody has read. */
  #empty(metric: Pick<Gauge, 'reset' | 'remove'>, labels: readonly string[]): void {
    metric.reset();
    if (labels.length === 0) metric.remove();
  }

  #read<Value>(read: (view: View) => Iterable<Value>): Iterable<Value> {
    return this.#view === undefined ? [] : read(this.#view);
  }
}

/** A histogram whose buckets were counted elsewhere. */
class ReadHistogram extends Histogram {
  readonly #name: string;
  readonly #help: string;
  readonly #read: () => Iterable<readonly [DistributionSnapshot, Labels?]>;

  constructor(
    config: {
      readonly name: string;
      readonly help: string;
      readonly labelNames: readonly string[];
      readonly registers: Registry[];
    },
    read: () => Iterable<readonly [DistributionSnapshot, Labels?]>,
  ) {
    super({ ...config, registers: [...config.registers] });
    this.#name = config.name;
    this.#help = config.help;
    this.#read = read;
  }

  /** What the registry asks for when it writes the text (prom-client's types leave it out). */
  getForPromString() {
    const values = [...this.#read()].flatMap(([own, labels]) => this.#rows(own, labels));
    return { name: this.#name, help: this.#help, type: 'histogram', values };
  }

  #rows({ bounds, counts, sum }: DistributionSnapshot, labels: Labels = {}): Written[] {
    let count = 0;
    const buckets = counts.map((own, at) => {
      count += own;
      return { metricName: `${this.#name}_bucket`, value: count, labels: { le: bounds[at] ?? '+Inf', ...labels } };
    });
    return [
      ...buckets,
      { metricName: `${this.#name}_sum`, value: sum, labels },
      { metricName: `${this.#name}_count`, value: count, labels },
    ];
  }
}
