/** As much of gRPC over HTTP/2 (grpc's doc/PROTOCOL-HTTP2.md) as one bidirectional stream without compression takes. */

/** Codes of grpc's doc/statuscodes.md. */
export const grpcStatus = {
  ok: 0,
  invalidArgument: 3,
  deadlineExceeded: 4,
  permissionDenied: 7,
  resourceExhausted: 8,
  aborted: 10,
  unimplemented: 12,
  unavailable: 14,
} as const;

export type GrpcStatus = (typeof grpcStatus)[keyof typeof grpcStatus];

export const attendPath = '/shoal.swarm.v1.Directory/Attend';
export const grpcContentType = 'application/grpc';
/** Bytes of a frame (proto/swarm.proto). */
export const largestFrame = 64 * 1024;

/** One byte that says whether the message is compressed, and its length in four, big-endian. */
const prefixBytes = 5;
/** Characters of a status message that are read: it is for the log. */
const longestStatusMessage = 300;

/** The other side broke a rule of the protocol; the message says which. */
export class FrameError extends Error {
  override readonly name = 'FrameError';
}

/** Puts the prefix before a message. */
export function withPrefix(message: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(prefixBytes + message.length);
  bytes[0] = 0;
  bytes.writeUInt32BE(message.length, 1);
  bytes.set(message, prefixBytes);
  return bytes;
}

/** Puts messages together from the chunks that they come in. Holds no more than one message of `largestFrame` bytes. */
export class Reassembly {
  #chunks: Buffer[] = [];
  #length = 0;

  /** The messages that are complete with this chunk. Throws a `FrameError` for what no frame of ours can be. */
  *push(chunk: Buffer): Generator<Buffer, void, undefined> {
    this.#chunks.push(chunk);
    this.#length += chunk.length;
    while (this.#length >= prefixBytes) {
      const bytes = this.#joined();
      if (bytes[0] !== 0) throw new FrameError('a compressed frame: this service takes none');
      const length = bytes.readUInt32BE(1);
      if (length > largestFrame) throw new FrameError(`a frame of ${length} bytes: at most ${largestFrame} are taken`);
      const end = prefixBytes + length;
      if (bytes.length < end) return;
      this.#chunks = end < bytes.length ? [bytes.subarray(end)] : [];
      this.#length -= end;
      yield bytes.subarray(prefixBytes, end);
    }
  }

  #joined(): Buffer {
    const [first] = this.#chunks;
    const bytes = this.#chunks.length === 1 && first !== undefined ? first : Buffer.concat(this.#chunks, this.#length);
    this.#chunks = [bytes];
    return bytes;
  }
}

/** The trailers that end a stream. `message`: ASCII. */
export function statusTrailers(code: GrpcStatus, message: string): Record<string, string> {
  const escaped = message.replace(/[^\x20-\x24\x26-\x7e]/g, (character) => encodeURIComponent(character));
  return { 'grpc-status': String(code), ...(message !== '' && { 'grpc-message': escaped }) };
}

/** What trailers say, in words for the log. Undefined: they carry no status. */
export function describeStatus(headers: Readonly<Record<string, unknown>>): string | undefined {
  const code = headers['grpc-status'];
  if (typeof code !== 'string') return undefined;
  const known = Object.entries(grpcStatus).find(([, value]) => String(value) === code)?.[0];
  const name = known ?? (/^\d{1,3}$/.test(code) ? `status ${code}` : 'no known status');
  const message = headers['grpc-message'];
  if (typeof message !== 'string') return name;
  const plain = message.slice(0, longestStatusMessage).replace(/%[0-7][0-9a-fA-F]/g, decodeURIComponent);
  return `${name}: ${plain.replace(/[^\x20-\x7e]/g, '?')}`;
}
