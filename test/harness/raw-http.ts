import { connect, type Socket } from 'node:net';

/** What came over one connection until it ended. */
export interface RawAnswer {
  readonly status: number;
  /** Lower-case names. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
  /** `FIN`, or the error's code: `ECONNRESET` when the other side sent RST. */
  readonly end: string;
}

/** The bytes of a GET (or another method) that asks for the connection to stay open. */
export function requestText(target: string, headers: Readonly<Record<string, string>> = {}, method = 'GET'): string {
  const lines = Object.entries({ Host: 'mirror', ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${method} ${target} HTTP/1.1\r\n${lines.join('')}\r\n`;
}

/**
 * Sends `text` on a connection of its own and reads until the other side ends it, or until a whole answer with
 * Content-Length was there. HTTP libraries hide how a connection ends; this tells.
 */
export async function exchange(port: number, text: string, method = 'GET'): Promise<RawAnswer> {
  const socket = connect(port, '127.0.0.1');
  const chunks: Buffer[] = [];
  const end = await new Promise<string>((resolve) => {
    let received = 0;
    let expected: number | undefined;
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      received += chunk.length;
      expected ??= expectedBytes(Buffer.concat(chunks), method);
      if (expected !== undefined && received >= expected) resolve('complete');
    });
    socket.once('end', () => resolve('FIN'));
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.write(text);
  });
  await closed(socket);
  return { ...parse(Buffer.concat(chunks)), end };
}

async function closed(socket: Socket): Promise<void> {
  if (socket.closed) return;
  await new Promise<void>((resolve) => {
    socket.once('close', () => resolve());
    socket.destroy();
  });
}

function expectedBytes(bytes: Buffer, method: string): number | undefined {
  const headerEnd = bytes.indexOf('\r\n\r\n');
  if (headerEnd < 0) return undefined;
  const length = Number(parse(bytes).headers.get('content-length'));
  return headerEnd + 4 + (method === 'HEAD' ? 0 : length);
}

function parse(bytes: Buffer): Omit<RawAnswer, 'end'> {
  const headerEnd = bytes.indexOf('\r\n\r\n');
  const [statusLine = '', ...lines] = bytes.toString('latin1', 0, Math.max(headerEnd, 0)).split('\r\n');
  const headers = lines.map((line): [string, string] => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
  });
  return {
    status: Number(statusLine.split(' ')[1]),
    headers: new Map(headers),
    body: headerEnd < 0 ? Buffer.alloc(0) : bytes.subarray(headerEnd + 4),
  };
}
