import { createHash, randomBytes } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { setTimeout } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { createRegistryClient } from '../../src/registry/client.ts';
import type { RegistryHosts } from '../../src/registry/endpoint.ts';
import type { BlobOptions, ByteRange, Credentials, RegistryClient } from '../../src/registry/types.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { createAuthority } from '../harness/certificates.ts';
import { startOrigin } from '../harness/origin-server.ts';
import { Scope } from '../harness/scope.ts';

const blob = randomBytes(3_000_000);
const digest = `sha256:${createHash('sha256').update(blob).digest('hex')}`;
const anonymous: Credentials = { kind: 'anonymous' };

let scope: Scope;
let client: RegistryClient;
/** Milliseconds that the client waited between its tries: not really, so that no test takes long. */
let waits: number[];
/** Milliseconds that the test lets pass for the client. */
let passed: number;

beforeEach(() => {
  scope = new Scope();
  waits = [];
  passed = 0;
  client = createClient({});
});
afterEach(() => scope.close());

function createClient(options: {
  transferTimeout?: number;
  parallels?: number;
  hosts?: RegistryHosts;
}): RegistryClient {
  const created = createRegistryClient(
    {
      hosts: options.hosts ?? {},
      connectTimeout: 5,
      transferTimeout: options.transferTimeout ?? 15,
      parallels: options.parallels ?? 8,
      environment: {},
      clock: {
        ...systemClock,
        now: () => systemClock.now() + passed,
        sleep: async (milliseconds, signal) => {
          waits.push(milliseconds);
          signal?.throwIfAborted();
        },
      },
    },
    createLogger({ name: 'test', level: 'silent' }),
  );
  scope.defer(() => created.close());
  return created;
}

/** Fetches and checks that exactly the range's bytes came, in order. */
async function fetchRange(host: string, range: ByteRange, options: Partial<BlobOptions> = {}) {
  const chunks: Buffer[] = [];
  const repository = { registry: host, repository: 'a/b' };
  const onData = (chunk: Buffer) => void chunks.push(Buffer.from(chunk));
  const settings = { credentials: anonymous, range, size: blob.length, onData, ...options };
  const result = await client.fetchBlob(repository, digest, settings);
  expect(Buffer.concat(chunks).equals(blob.subarray(range.start, range.end))).toBe(true);
  return result;
}

function parseRange(header: string | undefined): ByteRange {
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(header ?? '') ?? [];
  return first === undefined ? { start: 0, end: blob.length } : { start: Number(first), end: Number(last) + 1 };
}

function writePartialHead(response: ServerResponse, { start, end }: ByteRange): void {
  response.writeHead(206, {
    'content-range': `bytes ${start}-${end - 1}/${blob.length}`,
    'content-length': end - start,
  });
}

/** An honest answer to a range request. */
function serve(response: ServerResponse, range: ByteRange): void {
  writePartialHead(response, range);
  response.end(blob.subarray(range.start, range.end));
}

const middle = { start: 1_000_000, end: 2_500_000 };

describe('a transfer', () => {
  test.each(['FIN', 'RST'])('goes on where it was cut (%s), as often as there is progress', async (kind) => {
    const origin = await startOrigin(scope, ({ headers }, response, attempt) => {
      const range = parseRange(headers.range);
      if (attempt >= 5) return serve(response, range);
      writePartialHead(response, range);
      response.write(blob.subarray(range.start, range.start + 200_000 + attempt * 1_111), () => {
        if (kind === 'FIN') response.socket?.end();
        else response.socket?.resetAndDestroy();
      });
    });
    const result = await fetchRange(origin.host, middle);
    expect(result).toEqual({ ranged: true, wireBytes: 1_500_000 });
    const starts = origin.requests.map(({ headers }) => parseRange(headers.range).start);
    expect(starts).toHaveLength(6);
    expect(starts).toEqual(starts.toSorted((a, b) => a - b));
    expect(starts[5]).toBeGreaterThan(middle.start);
  });

  test('that stalls is cut and goes on', async () => {
    client = createClient({ transferTimeout: 0.2 });
    const origin = await startOrigin(scope, ({ headers }, response, attempt) => {
      const range = parseRange(headers.range);
      if (attempt > 0) return serve(response, range);
      writePartialHead(response, range);
      response.write(blob.subarray(range.start, range.start + 300_000));
    });
    await fetchRange(origin.host, middle);
    expect(parseRange(origin.requests[1]?.headers.range)).toEqual({ start: middle.start + 300_000, end: middle.end });
  });

  test('ends as unavailable when headers never come, byte by byte or at all', async () => {
    client = createClient({ transferTimeout: 0.2 });
    const origin = await startOrigin(scope, (_, response) => {
      const { socket } = response;
      socket?.write('HTTP/1.1 200 OK\r\nX-Slow: ');
      const drip = setInterval(() => socket?.write('x'), 20);
      socket?.once('close', () => clearInterval(drip));
    });
    await expect(fetchRange(origin.host, middle)).rejects.toMatchObject({ kind: 'unavailable' });
    expect(origin.requests.length).toBeLessThanOrEqual(4);
  });

  test('is not waited for without end when every connection brings one byte', async () => {
    const origin = await startOrigin(scope, ({ headers }, response) => {
      const range = parseRange(headers.range);
      writePartialHead(response, range);
      response.write(blob.subarray(range.start, range.start + 1), () => response.socket?.end());
    });
    await expect(fetchRange(origin.host, middle)).rejects.toMatchObject({ kind: 'unavailable' });
    expect(origin.requests).toHaveLength(32);
  });

  test('from a registry without ranges skips to its start and stops after its end', async () => {
    const origin = await startOrigin(scope, (_, response) => {
      response.writeHead(200, { 'content-length': blob.length });
      // In parts, so that a client that reads on would take measurably more.
      const parts = Array.from({ length: 30 }, (_, part) => blob.subarray(part * 100_000, (part + 1) * 100_000));
      const next = () => {
        const part = parts.shift();
        if (part === undefined) response.end();
        else response.write(part, next);
      };
      next();
    });
    const result = await fetchRange(origin.host, { start: 100_000, end: 200_000 });
    expect(result.ranged).toBe(false);
    expect(result.wireBytes).toBeGreaterThanOrEqual(200_000);
    expect(result.wireBytes).toBeLessThan(blob.length);
  });

  test('that was cut goes on from a registry without ranges too', async () => {
    const origin = await startOrigin(scope, (_, response, attempt) => {
      response.writeHead(200, { 'content-length': blob.length });
      if (attempt > 0) response.end(blob);
      else response.write(blob.subarray(0, 1_200_000), () => response.socket?.end());
    });
    const result = await fetchRange(origin.host, middle);
    expect(result.ranged).toBe(false);
    expect(result.wireBytes).toBeGreaterThanOrEqual(1_200_000 + middle.end);
  });

  test('that is answered in parts asks for the rest', async () => {
    const origin = await startOrigin(scope, ({ headers }, response) => {
      const { start, end } = parseRange(headers.range);
      serve(response, { start, end: Math.min(end, start + 600_000) });
    });
    await fetchRange(origin.host, middle);
    expect(origin.requests).toHaveLength(3);
  });

  test.each<[string, (response: ServerResponse, range: ByteRange) => void]>([
    ['a range that was not asked for', (response, { start, end }) => serve(response, { start: start - 1, end })],
    [
      'another size of the blob',
      (response, { start, end }) => {
        response.writeHead(206, { 'content-range': `bytes ${start}-${end - 1}/${blob.length + 1}` });
        response.end(blob.subarray(start, end));
      },
    ],
    [
      'more bytes than the range has',
      (response, { start, end }) => {
        response.writeHead(206, { 'content-range': `bytes ${start}-${end - 1}/${blob.length}` });
        response.end(Buffer.concat([blob.subarray(start, end), Buffer.from('!')]));
      },
    ],
    ['a whole blob that is too long', (response) => response.writeHead(200).end(Buffer.concat([blob, blob]))],
    [
      'an encoded body',
      (response, { start, end }) => {
        response.writeHead(206, {
          'content-range': `bytes ${start}-${end - 1}/${blob.length}`,
          'content-encoding': 'gzip',
        });
        response.end();
      },
    ],
    ['416', (response) => response.writeHead(416, { 'content-range': 'bytes */7' }).end()],
  ])('is refused at once when the registry answers with %s', async (_, answer) => {
    const origin = await startOrigin(scope, ({ headers }, response) => answer(response, parseRange(headers.range)));
    await expect(fetchRange(origin.host, { start: 1_000_000, end: blob.length })).rejects.toMatchObject({
      kind: 'invalid',
    });
    expect(origin.requests).toHaveLength(1);
  });

  test('waits as long as a busy registry asks for', async () => {
    const origin = await startOrigin(scope, ({ headers }, response, attempt) => {
      if (attempt === 0) response.writeHead(429, { 'retry-after': '2' }).end();
      else if (attempt === 1) response.writeHead(503, { 'retry-after': '1' }).end();
      else serve(response, parseRange(headers.range));
    });
    await fetchRange(origin.host, middle);
    expect(waits).toEqual([2_000, 1_000]);
  });

  test.each([
    [429, 'rate-limited'],
    [503, 'unavailable'],
  ])('gives up at once when %i asks to wait for an hour', async (status, kind) => {
    const origin = await startOrigin(scope, (_, response) => {
      response.writeHead(status, { 'retry-after': '3600' }).end();
    });
    await expect(fetchRange(origin.host, middle)).rejects.toMatchObject({ kind, status });
    expect(origin.requests).toHaveLength(1);
  });

  test('is tried four times, with growing waits, at a registry that fails', async () => {
    const origin = await startOrigin(scope, (_, response) => response.writeHead(500).end('oops'));
    await expect(fetchRange(origin.host, middle)).rejects.toMatchObject({ kind: 'unavailable', status: 500 });
    expect(origin.requests).toHaveLength(4);
    expect(waits).toHaveLength(3);
    expect(waits[2]).toBeGreaterThan(waits[0] ?? 0);
  });

  test('asks for no encoding and, of a whole blob, for no range', async () => {
    const origin = await startOrigin(scope, (_, response) => {
      response.writeHead(200, { 'content-length': blob.length }).end(blob);
    });
    const result = await fetchRange(origin.host, { start: 0, end: blob.length });
    expect(result).toEqual({ ranged: true, wireBytes: blob.length });
    expect(origin.requests[0]?.headers).toMatchObject({ 'accept-encoding': 'identity' });
    expect(origin.requests[0]?.headers).not.toHaveProperty('range');
  });

  test('of nothing asks nobody', async () => {
    const origin = await startOrigin(scope, (_, response) => response.writeHead(500).end());
    await expect(fetchRange(origin.host, { start: 7, end: 7 })).resolves.toEqual({ ranged: true, wireBytes: 0 });
    expect(origin.requests).toHaveLength(0);
  });
});

describe('the consumer of a transfer', () => {
  test.each(['http', 'https'])(
    'gets the next chunk only when it has digested the last, and all of them when the registry hangs up: %s',
    async (scheme) => {
      const authority = scheme === 'https' ? await createAuthority(scope) : undefined;
      const origin = await startOrigin(
        scope,
        ({ headers }, response) => {
          response.shouldKeepAlive = false;
          serve(response, parseRange(headers.range));
        },
        await authority?.issue('registry', ['IP:127.0.0.1']),
      );
      if (authority !== undefined) {
        client = createClient({ hosts: { [origin.host]: { plainHttp: false, caFile: authority.certificateFile } } });
      }
      const chunks: Buffer[] = [];
      let digesting = 0;
      let overlaps = 0;
      const onData = async (chunk: Buffer) => {
        digesting += 1;
        if (digesting > 1) overlaps += 1;
        await new Promise((resolve) => setImmediate(resolve));
        chunks.push(Buffer.from(chunk));
        digesting -= 1;
      };
      const repository = { registry: origin.host, repository: 'a/b' };
      await client.fetchBlob(repository, digest, { credentials: anonymous, range: middle, size: blob.length, onData });
      expect(overlaps).toBe(0);
      expect(Buffer.concat(chunks).equals(blob.subarray(middle.start, middle.end))).toBe(true);
      expect(origin.requests).toHaveLength(1);
    },
  );

  test('may digest for longer than the registry may stall', async () => {
    const transferTimeout = 0.2;
    client = createClient({ transferTimeout });
    const origin = await startOrigin(scope, ({ headers }, response) => serve(response, parseRange(headers.range)));
    const chunks: Buffer[] = [];
    const onData = async (chunk: Buffer) => {
      // Twice what undici's coarse timers take to notice a stall.
      if (chunks.length === 0) await setTimeout(2 * (transferTimeout * 1000 + 500));
      chunks.push(Buffer.from(chunk));
    };
    const repository = { registry: origin.host, repository: 'a/b' };
    await client.fetchBlob(repository, digest, { credentials: anonymous, range: middle, size: blob.length, onData });
    expect(Buffer.concat(chunks).equals(blob.subarray(middle.start, middle.end))).toBe(true);
    expect(origin.requests).toHaveLength(1);
  });

  test('may digest for so long that the registry hangs up, and gets the rest over another connection', async () => {
    const origin = await startOrigin(scope, ({ headers }, response, attempt) => {
      const range = parseRange(headers.range);
      if (attempt > 0) {
        serve(response, range);
        return;
      }
      writePartialHead(response, range);
      response.write(blob.subarray(range.start, range.start + 100_000));
    });
    const chunks: Buffer[] = [];
    const onData = async (chunk: Buffer) => {
      if (chunks.length === 0) {
        passed += 600_000;
        await origin.hangUp();
      }
      chunks.push(Buffer.from(chunk));
    };
    const repository = { registry: origin.host, repository: 'a/b' };
    await client.fetchBlob(repository, digest, { credentials: anonymous, range: middle, size: blob.length, onData });
    expect(Buffer.concat(chunks).equals(blob.subarray(middle.start, middle.end))).toBe(true);
    expect(origin.requests).toHaveLength(2);
  });

  test.each([
    [
      'throws',
      () => {
        throw new Error('no room');
      },
    ],
    ['rejects', () => Promise.reject(new Error('no room'))],
  ])('that %s ends the transfer with its own error, without another try', async (_, onData) => {
    const origin = await startOrigin(scope, ({ headers }, response) => serve(response, parseRange(headers.range)));
    await expect(fetchRange(origin.host, middle, { onData })).rejects.toThrow('no room');
    expect(origin.requests).toHaveLength(1);
  });

  test('can give up before, while waiting for headers, while bytes come and between tries', async () => {
    const reason = new Error('pod deleted');
    const before = AbortSignal.abort(reason);
    const silent = await startOrigin(scope, () => abortWaiting.abort(reason));
    const busy = await startOrigin(scope, (_, response) => {
      response.writeHead(429, { 'retry-after': '1' }).end();
      abortBetween.abort(reason);
    });
    const endless = await startOrigin(scope, ({ headers }, response) => {
      const range = parseRange(headers.range);
      writePartialHead(response, range);
      response.write(blob.subarray(range.start, range.start + 1000));
    });
    const abortWaiting = new AbortController();
    const abortBetween = new AbortController();
    const abortReading = new AbortController();
    const onData = () => abortReading.abort(reason);

    await expect(fetchRange(silent.host, middle, { signal: before })).rejects.toBe(reason);
    expect(silent.requests).toHaveLength(0);
    await expect(fetchRange(silent.host, middle, { signal: abortWaiting.signal })).rejects.toBe(reason);
    await expect(fetchRange(busy.host, middle, { signal: abortBetween.signal })).rejects.toBe(reason);
    await expect(fetchRange(endless.host, middle, { signal: abortReading.signal, onData })).rejects.toBe(reason);
  });

  test('can give up while it waits for a connection, and others use the connection then', async () => {
    client = createClient({ parallels: 1 });
    const held: ServerResponse[] = [];
    const arrived = Promise.withResolvers<void>();
    const origin = await startOrigin(scope, ({ headers }, response, attempt) => {
      if (attempt > 0) return serve(response, parseRange(headers.range));
      held.push(response);
      arrived.resolve();
    });
    const first = fetchRange(origin.host, middle);
    await arrived.promise;
    const abort = new AbortController();
    const second = fetchRange(origin.host, middle, { signal: abort.signal });
    const third = fetchRange(origin.host, middle);
    abort.abort(new Error('pod deleted'));
    await expect(second).rejects.toThrow('pod deleted');
    for (const response of held) serve(response, middle);
    await Promise.all([first, third]);
    expect(origin.requests).toHaveLength(2);
  });

  test('never has more connections open than it may', async () => {
    client = createClient({ parallels: 2 });
    const origin = await startOrigin(scope, ({ headers }, response) => serve(response, parseRange(headers.range)));
    await Promise.all(Array.from({ length: 12 }, () => fetchRange(origin.host, middle)));
    expect(origin.requests).toHaveLength(12);
    expect(origin.connections).toBe(2);
  });
});
