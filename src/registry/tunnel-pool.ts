import { AsyncLocalStorage } from 'node:async_hooks';
import { type Dispatcher, Pool } from 'undici';
import type { TraceHeaders } from '../telemetry/trace-context.ts';

const current = new AsyncLocalStorage<TraceHeaders>();

/** Does the work of a request that is recorded: a tunnel that has to be opened for it is told of the trace. */
export function inTrace<T>(trace: TraceHeaders | undefined, work: () => T): T {
  return trace === undefined ? work() : current.run(trace, work);
}

/**
 * The connections to a mirror. undici opens a tunnel deep within a request and gives no way to say anything with it, so the trace
 * comes by the side. The mirror alone hears of it: what goes through the tunnel is as before.
 */
export class TunnelPool extends Pool {
  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    const trace = options.method === 'CONNECT' ? current.getStore() : undefined;
    if (trace === undefined) return super.dispatch(options, handler);
    // undici's ProxyAgent gives an object.
    const headers = options.headers as Record<string, string>;
    return super.dispatch({ ...options, headers: { ...headers, ...trace } }, handler);
  }
}
