import type { Dispatcher } from 'undici';
import { beforeEach, describe, expect, test } from 'vitest';
import { type Appetite, exchange } from '../../../src/registry/exchange.ts';

/** undici's side of one exchange, played by the test: it decides when which event comes. */
class Server {
  readonly calls: string[] = [];
  handler: Dispatcher.DispatchHandler | undefined;
  readonly controller: Dispatcher.DispatchController = {
    aborted: false,
    paused: false,
    reason: null,
    abort: () => this.calls.push('abort'),
    pause: () => this.calls.push('pause'),
    resume: () => this.calls.push('resume'),
  };

  dispatch(_: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    this.handler = handler;
    handler.onRequestStart?.(this.controller, {});
    handler.onResponseStart?.(this.controller, 200, {});
    return true;
  }

  data(text: string): void {
    this.handler?.onResponseData?.(this.controller, Buffer.from(text));
  }

  end(): void {
    this.handler?.onResponseEnd?.(this.controller, {});
  }

  fail(error: Error): void {
    this.handler?.onResponseError?.(this.controller, error);
  }
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

let server: Server;
/** The chunks that the reader has got, each with the function that digests it. */
let eaten: { text: string; digested: (appetite: Appetite) => void; failed: (error: unknown) => void }[];
let outcome: string;

beforeEach(() => {
  server = new Server();
  eaten = [];
  outcome = 'pending';
  const request = { method: 'GET', url: new URL('http://registry.example.com/'), headers: {} } as const;
  exchange(server, request, {
    onHeaders: () => 'more',
    onData: (chunk) => {
      const { promise, resolve, reject } = Promise.withResolvers<Appetite>();
      eaten.push({ text: chunk.toString(), digested: resolve, failed: reject });
      return promise;
    },
  }).then(
    () => {
      outcome = 'resolved';
    },
    (error: unknown) => {
      outcome = `rejected: ${String(error)}`;
    },
  );
});

describe('a reader that digests', () => {
  test('pauses the connection meanwhile', async () => {
    server.data('a');
    expect(server.calls).toEqual(['pause']);
    await turn();
    expect(server.calls).toEqual(['pause']);
    eaten[0]?.digested('more');
    await turn();
    expect(server.calls).toEqual(['pause', 'resume']);
  });

  test('gets what a closing connection flushes one by one, and the end after all of it', async () => {
    for (const text of ['a', 'b', 'c']) server.data(text);
    server.end();
    for (const count of [1, 2, 3]) {
      await turn();
      expect(eaten.map(({ text }) => text).join('')).toBe('abc'.slice(0, count));
      expect(outcome).toBe('pending');
      eaten[count - 1]?.digested('more');
    }
    await turn();
    expect(outcome).toBe('resolved');
  });

  test('has digested everything before a cut connection is reported', async () => {
    server.data('a');
    server.fail(new Error('other side closed'));
    await turn();
    expect(outcome).toBe('pending');
    eaten[0]?.digested('more');
    await turn();
    expect(outcome).toMatch(/rejected: .*other side closed/);
  });

  test('gets nothing more once it had enough or failed', async () => {
    for (const text of ['a', 'b']) server.data(text);
    eaten[0]?.digested('enough');
    await turn();
    expect(outcome).toBe('resolved');
    expect(eaten).toHaveLength(1);
    expect(server.calls).toContain('abort');
  });

  test('fails the exchange with its own error, even with none at all', async () => {
    server.data('a');
    eaten[0]?.failed(undefined);
    await turn();
    expect(outcome).toBe('rejected: undefined');
    expect(server.calls).toContain('abort');
  });
});
