import type { Socket } from 'node:net';

/** What an HTTP/2 connection begins with (RFC 9113, section 3.4); no method of HTTP/1.1 does. */
const http2Start = Buffer.from('PRI ');

/**
 * Waits for the first bytes of a connection and tells by them what it speaks; they stay to be read. Calls back with undefined
 * when the connection ends before that, or after `timeoutMs`.
 */
export function tellProtocol(
  socket: Socket,
  timeoutMs: number,
  told: (protocol: 'http/1.1' | 'h2' | undefined) => void,
): void {
  let start: Buffer = Buffer.alloc(0);
  const end = (protocol: 'http/1.1' | 'h2' | undefined): void => {
    clearTimeout(timer);
    socket.off('readable', look);
    socket.off('close', closed);
    if (protocol !== undefined && start.length > 0) socket.unshift(start);
    told(protocol);
  };
  const closed = (): void => end(undefined);
  const look = (): void => {
    const bytes: Buffer | null = socket.read();
    if (bytes === null) return;
    start = start.length === 0 ? bytes : Buffer.concat([start, bytes]);
    if (start.length >= http2Start.length) {
      end(start.subarray(0, http2Start.length).equals(http2Start) ? 'h2' : 'http/1.1');
    } else if (!start.equals(http2Start.subarray(0, start.length))) end('http/1.1');
  };
  const timer = setTimeout(closed, timeoutMs);
  socket.on('readable', look);
  socket.once('close', closed);
}
