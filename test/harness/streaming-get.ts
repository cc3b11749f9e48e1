import { connect } from 'node:net';

export interface StreamedRequest {
  readonly method?: 'GET' | 'HEAD';
  readonly headers?: Readonly<Record<string, string>>;
  /** Called with the body as it comes; the bytes are overwritten afterwards. Only for a status below 300. */
  readonly onData?: (bytes: Uint8Array) => void;
}

export interface StreamedAnswer {
  readonly status: number;
  /** Lower-case names. */
  readonly headers: ReadonlyMap<string, string>;
  /** Bytes of body that came. */
  readonly received: number;
  /** `complete`; else how the connection ended before: `FIN`, or the error's code, such as ECONNRESET. */
  readonly end: string;
}

const headEnd = Buffer.from('\r\n\r\n');
const longestHead = 64 * 1024;

/**
 * One request on a connection of its own, for as little CPU as Node can: every read goes into one buffer that is used over
 * and over. Rejects when no answer came at all.
 */
export function streamingGet(url: URL, request: StreamedRequest = {}): Promise<StreamedAnswer> {
  const method = request.method ?? 'GET';
  return new Promise((resolve, reject) => {
    let head = Buffer.alloc(0);
    let parsed: { readonly status: number; readonly headers: ReadonlyMap<string, string> } | undefined;
    let expected = Number.POSITIVE_INFINITY;
    let received = 0;
    let end = 'FIN';
    const take = (bytes: Uint8Array): void => {
      received += bytes.length;
      if (bytes.length > 0 && (parsed?.status ?? 500) < 300) request.onData?.(bytes);
      if (received >= expected) {
        end = 'complete';
        socket.destroy();
      }
    };
    const socket = connect({
      host: url.hostname,
      port: Number(url.port),
      onread: {
        buffer: Buffer.alloc(256 * 1024),
        callback(length, buffer) {
          const bytes = buffer.subarray(0, length);
          if (parsed !== undefined) {
            take(bytes);
            return true;
          }
          head = Buffer.concat([head, bytes]);
          const at = head.indexOf(headEnd);
          if (at < 0) return head.length < longestHead;
          parsed = parseHead(head.toString('latin1', 0, at));
          expected = method === 'HEAD' ? 0 : Number(parsed.headers.get('content-length') ?? Number.POSITIVE_INFINITY);
          take(head.subarray(at + headEnd.length));
          return true;
        },
      },
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      end = error.code ?? error.message;
    });
    socket.on('close', () => {
      if (parsed === undefined) reject(new Error(`${url.href}: no answer (${end})`));
      else resolve({ ...parsed, received, end });
    });
    const fields = Object.entries({ host: url.host, connection: 'close', ...request.headers });
    const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join('');
    socket.write(`${method} ${url.pathname}${url.search} HTTP/1.1\r\n${lines}\r\n`);
  });
}

function parseHead(text: string): { readonly status: number; readonly headers: ReadonlyMap<string, string> } {
  const [statusLine = '', ...lines] = text.split('\r\n');
  const headers = lines.map((line): [string, string] => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
  });
  return { status: Number(statusLine.split(' ')[1]), headers: new Map(headers) };
}
