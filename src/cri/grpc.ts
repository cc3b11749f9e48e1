/** The parts of gRPC over HTTP/2 that the proxy speaks itself (grpc's doc/PROTOCOL-HTTP2.md). */

/** The status codes that the proxy gives or looks at (grpc's doc/statuscodes.md). */
export const grpcStatus = {
  ok: 0,
  resourceExhausted: 8,
  unavailable: 14,
} as const;

/** The largest message that kubelets and runtimes take (cri-api's client and containerd's server: 16 MiB). */
export const maximumMessageBytes = 16 * 1024 * 1024;

/** A message's prefix: one byte that says whether it is compressed, and its length in four bytes, big-endian. */
export const messagePrefixBytes = 5;

/** Escapes a `grpc-message` for its trailer: bytes of UTF-8 outside of space to tilde, and the percent sign itself. */
export function encodeStatusMessage(message: string): string {
  let encoded = '';
  for (const byte of Buffer.from(message, 'utf8')) {
    const plain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    encoded += plain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return encoded;
}

/** Undoes `encodeStatusMessage`. What is no valid escape stays as it is, as the protocol wants. */
export function decodeStatusMessage(encoded: string): string {
  const bytes = Buffer.from(encoded, 'latin1').toString('latin1');
  const plain = bytes.replace(/%([0-9a-fA-F]{2})/g, (_escape, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Buffer.from(plain, 'latin1').toString('utf8');
}

/** The headers of an answer that is a status alone ("Trailers-Only"). */
export function statusHeaders(code: number, message: string): Record<string, string> {
  return {
    ':status': '200',
    'content-type': 'application/grpc',
    'grpc-status': String(code),
    'grpc-message': encodeStatusMessage(message),
  };
}

/** A message as it stands in a request's or answer's body. */
export interface GrpcMessage {
  readonly compressed: boolean;
  readonly payload: Buffer;
}

/** Reads a body that is exactly one message; `undefined` when it is anything else. */
export function readSingleMessage(body: Buffer): GrpcMessage | undefined {
  if (body.length < messagePrefixBytes) return undefined;
  const flag = body[0];
  if ((flag !== 0 && flag !== 1) || body.readUInt32BE(1) !== body.length - messagePrefixBytes) return undefined;
  return { compressed: flag === 1, payload: body.subarray(messagePrefixBytes) };
}

/** Puts the prefix of an uncompressed message before it. */
export function frameMessage(payload: Uint8Array): Buffer {
  const body = Buffer.alloc(messagePrefixBytes + payload.length);
  body.writeUInt32BE(payload.length, 1);
  body.set(payload, messagePrefixBytes);
  return body;
}

/** Milliseconds of each unit of a `grpc-timeout`. */
const timeoutUnits: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };

/** The milliseconds of a `grpc-timeout` header (at most eight digits and a unit); `undefined` when it is none. */
export function parseTimeout(value: string): number | undefined {
  const found = /^(\d{1,8})([HMSmun])$/.exec(value);
  const unit = timeoutUnits[found?.[2] ?? ''];
  return unit === undefined ? undefined : Number(found?.[1]) * unit;
}

/** The `grpc-timeout` for that many milliseconds, in the finest of ms and s that eight digits can hold. */
export function formatTimeout(milliseconds: number): string {
  const whole = Math.max(1, Math.floor(milliseconds));
  return whole < 1e8 ? `${whole}m` : `${Math.min(99_999_999, Math.floor(whole / 1000))}S`;
}
