import { headersOf, type TraceHeaders, traceContextOf } from '../telemetry/trace-context.ts';

/**
 * The trace that a command is run in, by the variables that OpenTelemetry gives it (TRACEPARENT, TRACESTATE); empty where there is
 * none, or none that is valid.
 */
export function traceOfEnvironment(environment: Readonly<Record<string, string | undefined>>): Partial<TraceHeaders> {
  const context = traceContextOf(environment.TRACEPARENT, environment.TRACESTATE);
  return context === undefined ? {} : headersOf(context);
}
