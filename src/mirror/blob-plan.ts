import type { OutgoingHttpHeaders } from 'node:http';
import type { ByteRange } from '../registry/types.ts';
import { maxRanges, selectRanges } from './ranges.ts';
import { Refusal } from './refusal.ts';

/** A range of the blob and the text that stands before it on the wire. */
export interface Part extends ByteRange {
  readonly preamble: string;
}

/** An answer with a blob's content, all of it known before the first byte is there. */
export interface BlobPlan {
  readonly status: 200 | 206;
  readonly headers: OutgoingHttpHeaders;
  readonly parts: readonly Part[];
  /** Text behind the last part. */
  readonly epilogue: string;
}

export interface BlobRequest {
  readonly method: 'GET' | 'HEAD';
  readonly range: string | undefined;
  readonly ifRange: string | undefined;
}

const contentType = 'application/octet-stream';

/**
 * How a request for a blob of `size` bytes is answered. `boundary` separates the parts of several ranges and must not
 * occur in the content. Never a Content-Encoding: the digest is that of the bytes on the wire. Throws a `Refusal`.
 */
export function planBlob(
  { method, range, ifRange }: BlobRequest,
  { digest, size }: { readonly digest: string; readonly size: number },
  boundary: string,
): BlobPlan {
  const etag = etagOf(digest);
  const common = { 'Docker-Content-Digest': digest, 'Accept-Ranges': 'bytes', ETag: etag };
  // RFC 9110: Range has a meaning for GET alone (14.2); If-Range with anything but the current entity tag switches it off (13.1.5).
  const ranged = method === 'GET' && (ifRange === undefined || ifRange === etag);
  const selection = selectRanges(ranged ? range : undefined, size);
  switch (selection.kind) {
    case 'too-many':
      throw new Refusal(400, 'RANGE_INVALID', `the request has more than ${maxRanges} ranges; ask for fewer at a time`);
    case 'unsatisfiable':
      throw new Refusal(416, 'RANGE_INVALID', `no range begins within the blob's ${size} bytes`, {
        headers: { 'Content-Range': `bytes */${size}` },
      });
    case 'whole':
      return {
        status: 200,
        headers: { ...common, 'Content-Type': contentType, 'Content-Length': size },
        parts: [{ start: 0, end: size, preamble: '' }],
        epilogue: '',
      };
    case 'parts':
      return planParts(selection.ranges, common, size, boundary);
  }
}

/** The entity tag of immutable content: its digest. */
export function etagOf(digest: string): string {
  return `"${digest}"`;
}

function planParts(
  ranges: readonly ByteRange[],
  common: OutgoingHttpHeaders,
  size: number,
  boundary: string,
): BlobPlan {
  const [only, ...others] = ranges;
  if (only !== undefined && others.length === 0) {
    const headers = {
      ...common,
      'Content-Type': contentType,
      'Content-Range': contentRange(only, size),
      'Content-Length': only.end - only.start,
    };
    return { status: 206, headers, parts: [{ ...only, preamble: '' }], epilogue: '' };
  }
  // RFC 9110, 14.6.
  const parts = ranges.map((range, index) => ({
    ...range,
    preamble: `${index === 0 ? '' : '\r\n'}--${boundary}\r\nContent-Type: ${contentType}\r\nContent-Range: ${contentRange(range, size)}\r\n\r\n`,
  }));
  const epilogue = `\r\n--${boundary}--\r\n`;
  const length = parts.reduce((sum, { start, end, preamble }) => sum + preamble.length + end - start, epilogue.length);
  const headers = { ...common, 'Content-Type': `multipart/byteranges; boundary=${boundary}`, 'Content-Length': length };
  return { status: 206, headers, parts, epilogue };
}

function contentRange({ start, end }: ByteRange, size: number): string {
  return `bytes ${start}-${end - 1}/${size}`;
}
