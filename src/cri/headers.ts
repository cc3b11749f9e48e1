import { type IncomingHttpHeaders, type OutgoingHttpHeaders, sensitiveHeaders } from 'node:http2';

/**
 * Headers to send on, from the list as it came over the wire (name, value, name, value, …): Node's own object has
 * repeated names joined. Names keep the order of their first occurrence, values their order within a name, and headers
 * that the sender marked as never to be indexed stay so marked.
 */
export function forwardedHeaders(rawHeaders: readonly string[], headers: IncomingHttpHeaders): OutgoingHttpHeaders {
  const values = new Map<string, string[]>();
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] ?? '';
    const value = rawHeaders[at + 1] ?? '';
    const known = values.get(name);
    if (known === undefined) values.set(name, [value]);
    else known.push(value);
  }
  const forwarded: OutgoingHttpHeaders = Object.create(null);
  for (const [name, list] of values) forwarded[name] = list.length === 1 ? list[0] : repeated(name, list);
  const sensitive: unknown = Reflect.get(headers, sensitiveHeaders);
  if (Array.isArray(sensitive)) Reflect.set(forwarded, sensitiveHeaders, sensitive);
  return forwarded;
}

/** Names that Node refuses to send twice, of those that gRPC metadata may well repeat. */
const singleInNode = new Set(['authorization', 'from', 'host', 'range', 'referer', 'user-agent', 'date', 'etag']);

/** Joined with a comma, repeated metadata means the same (grpc's doc/PROTOCOL-HTTP2.md, Custom-Metadata). */
function repeated(name: string, values: readonly string[]): string | string[] {
  return singleInNode.has(name) ? values.join(',') : [...values];
}
