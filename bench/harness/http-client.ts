import { connect } from 'node:net';

const headEnd = Buffer.from('\r\n\r\n');

/**
 * GETs `path` and throws the body away, for as little CPU as Node can: every read goes into one buffer that is used over
 * and over. Resolves with the body's length; rejects when the answer is not a whole 200. `onData` sees the body, for
 * checks outside of the measured time.
 */
export function discardBody(
  url: URL,
  headers: Readonly<Record<string, string>> = {},
  onData?: (bytes: Uint8Array) => void,
): Promise<number> {
  return new Promise((resolve, reject) => {
    let head = Buffer.alloc(0);
    let expected = Number.NaN;
    let received = 0;
    const take = (bytes: Uint8Array): void => {
      received += bytes.length;
      onData?.(bytes);
      if (received >= expected) socket.end();
    };
    const socket = connect({
      host: url.hostname,
      port: Number(url.port),
      onread: {
        buffer: Buffer.alloc(256 * 1024),
        callback(length, buffer) {
          const bytes = buffer.subarray(0, length);
          if (!Number.isNaN(expected)) {
            take(bytes);
            return true;
          }
          head = Buffer.concat([head, bytes]);
          const end = head.indexOf(headEnd);
          if (end === -1) return true;
          const text = head.toString('latin1', 0, end);
          const length200 = /^HTTP\/1\.1 200 .*\r\ncontent-length: (\d+)/is.exec(text)?.[1];
          if (length200 === undefined) {
            socket.destroy(new Error(`${url.href}: ${text.split('\r\n')[0]}`));
            return false;
          }
          expected = Number(length200);
          take(head.subarray(end + headEnd.length));
          return true;
        },
      },
    });
    socket.on('error', reject);
    socket.on('close', () => {
      if (received === expected) resolve(received);
      else reject(new Error(`${url.href}: ${received} of ${expected} bytes came`));
    });
    const lines = Object.entries({ host: url.host, connection: 'close', ...headers });
    const fields = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('');
    socket.write(`GET ${url.pathname}${url.search} HTTP/1.1\r\n${fields}\r\n`);
  });
}
