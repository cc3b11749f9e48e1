/** What can't be a response of HTTP/1.1, or is larger than anybody sends. */
export class HttpProtocolError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'HttpProtocolError';
  }
}

/** Header fields by lower-case name; an array where a field came more than once. */
export type HttpFields = Record<string, string | string[] | undefined>;

export interface ResponseHead {
  readonly status: number;
  readonly fields: HttpFields;
  /** How long the body is: a number of bytes, in chunks that tell, or until the connection ends. */
  readonly body: number | 'chunked' | 'until-close';
  /** Whether the connection may carry another request afterwards. */
  readonly keepAlive: boolean;
}

/** Node's own bound, for requests and responses. */
export const maximumHeadBytes = 16 * 1024;

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** Visible characters, blanks and bytes above ASCII (RFC 9110 section 5.5). */
const fieldValue = /^[\t\x20-\x7e\x80-\xff]*$/;

/**
 * Where a response's head ends in `bytes`: the index behind its empty line, or -1 when more bytes are needed. Throws an
 * `HttpProtocolError` when it is longer than `maximumHeadBytes`.
 */
export function headEnd(bytes: Buffer): number {
  const end = bytes.indexOf('\r\n\r\n');
  if (end > maximumHeadBytes || (end < 0 && bytes.length > maximumHeadBytes)) {
    throw new HttpProtocolError(`Headers of more than ${maximumHeadBytes} bytes`);
  }
  return end < 0 ? -1 : end + 4;
}

/**
 * Reads a response's head (RFC 9112 sections 4 to 6), its empty line included. Throws an `HttpProtocolError` where the
 * specification calls it invalid: leniency here is how one response gets smuggled into another.
 */
export function parseResponseHead(bytes: Buffer): ResponseHead {
  const [statusLine = '', ...lines] = bytes.toString('latin1', 0, bytes.length - 4).split('\r\n');
  const match = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: [\t\x20-\x7e\x80-\xff]*)?$/.exec(statusLine);
  if (match === null) throw new HttpProtocolError(`the status line ${JSON.stringify(statusLine.slice(0, 80))}`);
  const [, minor, code] = match;
  const status = Number(code);
  const fields = parseFields(lines);
  const connection = listOf(fields.connection);
  return {
    status,
    fields,
    body: bodyOf(status, fields),
    keepAlive: minor === '1' ? !connection.includes('close') : connection.includes('keep-alive'),
  };
}

function parseFields(lines: readonly string[]): HttpFields {
  const fields: HttpFields = Object.create(null);
  for (const line of lines) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon);
    const value = line.slice(colon + 1).trim();
    if (colon < 1 || !token.test(name) || !fieldValue.test(value)) {
      throw new HttpProtocolError(`the header line ${JSON.stringify(line.slice(0, 80))}`);
    }
    const key = name.toLowerCase();
    const before = fields[key];
    if (before === undefined) fields[key] = value;
    else fields[key] = Array.isArray(before) ? [...before, value] : [before, value];
  }
  return fields;
}

function bodyOf(status: number, fields: HttpFields): ResponseHead['body'] {
  if (status < 200 || status === 204 || status === 304) return 0;
  const length = fields['content-length'];
  const coding = fields['transfer-encoding'];
  if (coding !== undefined) {
    if (length !== undefined) throw new HttpProtocolError('both Content-Length and Transfer-Encoding');
    if (String(coding).toLowerCase() !== 'chunked') {
      throw new HttpProtocolError(`the Transfer-Encoding ${JSON.stringify(coding).slice(0, 80)}`);
    }
    return 'chunked';
  }
  if (length === undefined) return 'until-close';
  if (typeof length !== 'string' || !/^\d{1,15}$/.test(length)) {
    throw new HttpProtocolError(`the Content-Length ${JSON.stringify(length).slice(0, 80)}`);
  }
  return Number(length);
}

/** The members of a list field, in lower case. */
function listOf(value: string | string[] | undefined): string[] {
  const values = value === undefined ? [] : Array.isArray(value) ? value : [value];
  return values.flatMap((text) => text.split(',')).map((text) => text.trim().toLowerCase());
}
