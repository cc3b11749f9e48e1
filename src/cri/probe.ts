import { connect } from 'node:http2';
import { connect as connectSocket } from 'node:net';
import { decodeStatusMessage, grpcStatus, messagePrefixBytes } from './grpc.ts';

/** The socket does not serve an image service as the kubelet needs it. The message names the socket and the cause. */
export class ProbeError extends Error {
  constructor(socketPath: string, reason: string) {
    super(`${socketPath} does not answer ImageFsInfo: ${reason}`);
    this.name = 'ProbeError';
  }
}

/**
 * Asks the image service on a socket for ImageFsInfo, as the kubelet does at its start. Rejects with `ProbeError` unless the
 * runtime names at least one file system within `timeoutMs` milliseconds.
 */
export async function probeImageService(socketPath: string, timeoutMs: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const fail = (reason: string): void => reject(new ProbeError(socketPath, reason));
  const session = connect('http://localhost', { createConnection: () => connectSocket(socketPath) });
  const timer = setTimeout(() => fail(`no answer within ${timeoutMs} ms`), timeoutMs);
  session.on('error', (error) => fail(error.message));
  const stream = session.request({
    ':method': 'POST',
    ':path': '/runtime.v1.ImageService/ImageFsInfo',
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  let bytes = 0;
  const judge = (headers: Readonly<Record<string, unknown>>): void => {
    const code = Number(headers['grpc-status']);
    if (code !== grpcStatus.ok) {
      fail(`${decodeStatusMessage(String(headers['grpc-message'] ?? ''))} (gRPC status ${headers['grpc-status']})`);
    } else if (bytes <= messagePrefixBytes) {
      fail('the runtime names no file system of images');
    } else {
      resolve();
    }
  };
  stream.on('response', (headers) => {
    // An answer without a message has its status here.
    if (headers['grpc-status'] !== undefined) judge(headers);
  });
  stream.on('trailers', judge);
  stream.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  stream.on('error', (error) => fail(error.message));
  stream.on('close', () => fail('the connection ended without an answer'));
  // One empty message.
  stream.end(Buffer.alloc(messagePrefixBytes));
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    session.destroy();
  }
}
