import type { Config } from '../config/schema.ts';
import { RequestSpans } from '../mirror/request-spans.ts';
import { packageVersion } from '../paths.ts';
import type { HistoryOptions } from '../pull/history.ts';
import type { Logger } from '../telemetry/log.ts';
import { OtlpExporter, type Span } from '../telemetry/otlp-exporter.ts';
import { RemoteSpans } from '../telemetry/remote-spans.ts';
import { type TraceContext, traceContextOf } from '../telemetry/trace-context.ts';
import { TraceScope } from '../telemetry/trace-scope.ts';
import { spansOf } from './pull-spans.ts';

/** What records this process' work, and sends it to the collector. */
export interface Traces {
  /** For the traces of other nodes. */
  readonly remote: RemoteSpans;
  readonly requests: RequestSpans;
  /** For what else is done here. */
  export(spans: readonly Span[]): void;
  /** For the pulls of this node's runtime. */
  readonly pulls: Required<Pick<HistoryOptions, 'onEnd' | 'scopeOf'>>;
  close(): Promise<void>;
}

/** Undefined where nothing is traced, which is the default. `node`: its name, asked for when something is sent. */
export function startTraces(config: Config, node: () => string, log: Logger): Traces | undefined {
  const { endpoint } = config.telemetry.traces;
  if (endpoint === undefined) return undefined;
  const resource = () => ({ 'service.name': 'shoal', 'service.version': packageVersion(), 'host.name': node() });
  const exporter = new OtlpExporter({ endpoint, resource, log });
  const sink = { export: exporter.export.bind(exporter), now: Date.now, monotonic: () => performance.now() };
  const remote = new RemoteSpans(sink);
  return {
    remote,
    export: sink.export,
    requests: new RequestSpans(sink),
    pulls: {
      onEnd: (pull, scope) => {
        if (scope) exporter.export(spansOf(pull, scope));
      },
      scopeOf,
    },
    async close() {
      remote.close();
      await exporter.close();
    },
  };
}

/** Below the caller's span; undefined where the caller does not record its trace. A trace of its own where there is none. */
export function scopeOf(traceparent: string | undefined, tracestate: string | undefined): TraceScope | undefined {
  return scopeBelow(traceContextOf(traceparent, tracestate));
}

export function scopeBelow(above: TraceContext | undefined): TraceScope | undefined {
  return above?.sampled === false ? undefined : new TraceScope(above);
}
