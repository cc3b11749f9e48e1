import { readFile } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Access } from '../../src/kubernetes/access.ts';
import { type ClientLimits, createKubernetesClient, defaultLimits } from '../../src/kubernetes/client.ts';
import { defaultTimes, Informer, type InformerTimes } from '../../src/kubernetes/informer.ts';
import { namespaces } from '../../src/kubernetes/resources.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { createAuthority } from '../harness/certificates.ts';
import { type FakeKubernetesApi, namespacesPath, nodesPath } from '../harness/kubernetes-api.ts';
import { kubernetesForEachTest } from '../harness/kubernetes-for-each-test.ts';
import type { Scope } from '../harness/scope.ts';

const logger = createLogger({ name: 'test', level: 'silent' });
const quick: InformerTimes = { ...defaultTimes, healthyMs: 0, firstWaitMs: 5, longestWaitMs: 20 };
const namespace = (name: string, labels: Record<string, string> = {}) => ({ metadata: { name, labels } });

let scope: Scope;
let api: FakeKubernetesApi;

kubernetesForEachTest((started) => {
  ({ scope, api } = started);
});

/** An informer of names, and promises of what it will know. */
class Names {
  readonly informer: Informer<string>;
  readonly #waiting = new Set<() => void>();

  constructor(options: {
    readonly access?: () => Promise<Access>;
    readonly limits?: Partial<ClientLimits>;
    readonly times?: Partial<InformerTimes>;
    readonly labelSelector?: string;
  }) {
    const client = createKubernetesClient(options.access ?? (() => api.access()), {
      ...defaultLimits,
      ...options.limits,
    });
    this.informer = new Informer({
      client,
      resource: namespaces,
      labelSelector: options.labelSelector,
      parse: ({ name }) => name,
      onChange: () => {
        for (const check of [...this.#waiting]) check();
      },
      logger,
      times: { ...quick, ...options.times },
    });
    scope.defer(async () => {
      await this.informer.close();
      await client.close();
    });
  }

  get names(): string[] {
    return [...this.informer.objects().values()].sort();
  }

  /** Resolves when exactly these are known. */
  async become(...names: readonly string[]): Promise<void> {
    const reached = Promise.withResolvers<void>();
    const check = () => {
      if (JSON.stringify(this.names) === JSON.stringify(names)) reached.resolve();
    };
    this.#waiting.add(check);
    check();
    await reached.promise;
    this.#waiting.delete(check);
  }
}

const lists = () => api.requests.filter(({ verb }) => verb === 'list');
const watches = () => api.requests.filter(({ verb }) => verb === 'watch');

describe('an informer', () => {
  test('knows what is there, and follows what comes, changes and goes', async () => {
    api.put(namespacesPath, namespace('one'));
    const followed = new Names({});
    await followed.become('one');
    api.put(namespacesPath, namespace('two'));
    await followed.become('one', 'two');
    api.put(namespacesPath, namespace('two', { changed: 'yes' }));
    api.remove(namespacesPath, 'one');
    await followed.become('two');
    expect(lists().length).toBe(1);
    expect(followed.informer.failure).toBeUndefined();
  });

  test('takes its first list from the memory of the API server, and watches with bookmarks and a time limit', async () => {
    const followed = new Names({ times: { watchSeconds: 300 } });
    await followed.informer.firstAnswer;
    await api.until(() => api.watches === 1);
    expect(lists()[0]?.query.get('resourceVersion')).toBe('0');
    expect(watches()[0]?.query.get('allowWatchBookmarks')).toBe('true');
    const seconds = Number(watches()[0]?.query.get('timeoutSeconds'));
    expect(seconds).toBeGreaterThanOrEqual(300);
    expect(seconds).toBeLessThanOrEqual(600);
  });

  test('reads every page of a long list', async () => {
    const names = Array.from({ length: 25 }, (_, at) => `n${String(at).padStart(2, '0')}`);
    for (const name of names) api.put(namespacesPath, namespace(name));
    const followed = new Names({ limits: { pageObjects: 10 } });
    await followed.become(...names);
    expect(lists().map(({ query }) => query.get('continue') !== null)).toEqual([false, true, true]);
  });

  test('begins a list anew when its next page has expired', async () => {
    for (const name of ['a', 'b', 'c']) api.put(namespacesPath, namespace(name));
    let expired = false;
    api.intercept = ({ query }) => {
      if (query.get('continue') !== null && !expired) {
        expired = true;
        api.compact();
      }
      return false;
    };
    const followed = new Names({ limits: { pageObjects: 2 } });
    await followed.become('a', 'b', 'c');
    expect(lists().map(({ status }) => status)).toEqual([200, 410, 200, 200]);
  });

  test('sees only what its label selector selects, also when a label changes', async () => {
    api.put(namespacesPath, namespace('in', { mode: 'p2p' }));
    api.put(namespacesPath, namespace('out'));
    const followed = new Names({ labelSelector: 'mode=p2p' });
    await followed.become('in');
    await api.until(() => api.watches === 1);
    api.put(namespacesPath, namespace('out', { mode: 'p2p' }));
    await followed.become('in', 'out');
    api.put(namespacesPath, namespace('in'));
    await followed.become('out');
  });

  test('goes on from where it was when the server ends the watch', async () => {
    const followed = new Names({});
    await api.until(() => api.watches === 1);
    api.endWatches('end');
    api.put(namespacesPath, namespace('between'));
    await followed.become('between');
    expect(lists().length).toBe(1);
  });

  test('goes on from the last bookmark, so that quiet collections need no new list', async () => {
    const followed = new Names({});
    await api.until(() => api.watches === 1);
    // Changes of what is not selected move the version on, and are forgotten after a while.
    api.put(nodesPath, namespace('elsewhere'));
    api.bookmark();
    api.put(namespacesPath, namespace('marker'));
    await followed.become('marker');
    api.compact();
    api.endWatches('end');
    await api.until(() => watches().length === 2);
    api.put(namespacesPath, namespace('after'));
    await followed.become('after', 'marker');
    expect(lists().length).toBe(1);
  });

  test('goes on when the connection is cut in the middle of an event', async () => {
    const followed = new Names({});
    await api.until(() => api.watches === 1);
    api.endWatches('cut');
    api.put(namespacesPath, namespace('after'));
    await followed.become('after');
  });

  test('lists anew, from etcd, when its version is compacted away, and misses nothing', async () => {
    api.put(namespacesPath, namespace('old'));
    const followed = new Names({});
    await api.until(() => api.watches === 1);
    api.intercept = ({ verb }, response) => {
      if (verb !== 'watch') return false;
      response.destroy();
      return true;
    };
    api.endWatches('end');
    api.remove(namespacesPath, 'old');
    api.put(namespacesPath, namespace('new'));
    api.compact();
    api.intercept = undefined;
    await followed.become('new');
    expect(lists().at(-1)?.query.get('resourceVersion')).toBeNull();
    expect(followed.names).toEqual(api.names(namespacesPath));
  });

  test('takes 410 also as an event of a watch under way', async () => {
    const followed = new Names({});
    await api.until(() => api.watches === 1);
    api.put(namespacesPath, namespace('one'));
    await followed.become('one');
    api.endWatches('gone');
    await api.until(() => lists().length === 2);
    api.put(namespacesPath, namespace('two'));
    await followed.become('one', 'two');
  });

  test('gives up a watch that is silent for too long, and opens another on a new connection', async () => {
    let hanging = true;
    const sockets = new Set<unknown>();
    api.intercept = ({ verb }, response) => {
      if (verb !== 'watch') return false;
      sockets.add(response.socket);
      if (!hanging) return false;
      hanging = false;
      response.writeHead(200).flushHeaders();
      return true;
    };
    const followed = new Names({ times: { hungMs: 500 } });
    await api.until(() => api.watches === 1);
    api.put(namespacesPath, namespace('after'));
    await followed.become('after');
    expect(sockets.size).toBeGreaterThanOrEqual(2);
    expect(lists().length).toBe(1);
  });

  test('equals the server in the end, whatever changes, compactions and cut watches come in between', async () => {
    const name = fc.constantFrom('a', 'b', 'c', 'd');
    const step = fc.oneof(
      fc.record({ put: name }),
      fc.record({ remove: name }),
      fc.record({ end: fc.constantFrom('end' as const, 'cut' as const, 'gone' as const) }),
      fc.record({ server: fc.constantFrom('compact', 'bookmark', 'watched') }),
    );
    const followed = new Names({});
    let round = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        for (const each of steps) {
          if ('put' in each) api.put(namespacesPath, namespace(each.put));
          else if ('remove' in each) api.remove(namespacesPath, each.remove);
          else if ('end' in each) api.endWatches(each.end);
          else if (each.server === 'watched') await api.until(() => api.watches > 0);
          else if (each.server === 'compact') api.compact();
          else api.bookmark();
        }
        // What comes last tells when everything before has arrived.
        api.remove(namespacesPath, `round ${round}`);
        round += 1;
        api.put(namespacesPath, namespace(`round ${round}`));
        await followed.become(...api.names(namespacesPath));
      }),
      { numRuns: 40 },
    );
  });

  test('gives up a watch that trickles and never completes an event', async () => {
    let trickling = true;
    api.intercept = ({ verb }, response) => {
      if (verb !== 'watch' || !trickling) return false;
      trickling = false;
      response.writeHead(200);
      const timer = setInterval(() => response.write('x'), 20);
      response.on('close', () => clearInterval(timer));
      return true;
    };
    const followed = new Names({ times: { hungMs: 500 } });
    await api.until(() => api.watches === 1);
    api.put(namespacesPath, namespace('after'));
    await followed.become('after');
  });
});

describe('while the API server does not do what it should', () => {
  const html = '<html>502 Bad Gateway</html>';
  const broken: [name: string, answer: (response: ServerResponse) => void, words: RegExp][] = [
    ['answers 500', (response) => response.writeHead(500).end('{"message":"etcd is away"}'), /500 etcd is away/],
    ['answers a gateway page', (response) => response.writeHead(502).end(html), /502/],
    ['answers 200 with a page', (response) => response.end(html), /not JSON/],
    ['answers with other JSON', (response) => response.end('{"kind":"APIVersions"}'), /not a Kubernetes list/],
    ['answers with a JSON text', (response) => response.end('"hello"'), /not a JSON object/],
    [
      'lists objects without names',
      (response) => response.end('{"metadata":{"resourceVersion":"1"},"items":[{"metadata":{}}]}'),
      /without metadata.name/,
    ],
    ['cuts the connection', (response) => response.destroy(), /list namespaces at 127/],
    [
      'cuts the connection in the body',
      (response) => {
        response.write('{"metadata"');
        response.socket?.destroySoon();
      },
      /list namespaces/,
    ],
    ['never answers', () => {}, /no answer within 300 ms/],
    ['redirects', (response) => response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(), /302/],
    ['answers without end', (response) => void endless(response), /longer than 100000 bytes/],
  ];

  test.each(broken)('(%s) its last good answer stands, and it recovers', async (_name, answer, words) => {
    api.put(namespacesPath, namespace('known'));
    const followed = new Names({ limits: { answerMs: 300, pageBytes: 100_000 } });
    await followed.become('known');
    await api.until(() => api.watches === 1);
    const failures = new Set<string | undefined>();
    api.intercept = ({ verb }, response) => {
      failures.add(followed.informer.failure);
      // Watches are refused for a version that is too old, so that lists are what fails.
      if (verb === 'watch') response.writeHead(410).end('{}');
      else answer(response);
      return true;
    };
    api.endWatches('end');
    await api.until(() => [...failures].some((failure) => failure !== undefined && words.test(failure)));
    expect(followed.names).toEqual(['known']);
    api.intercept = undefined;
    api.put(namespacesPath, namespace('new'));
    await followed.become('known', 'new');
    await api.until(() => api.watches >= 1);
  });

  test('a watch line without end is cut, and what was known stands', async () => {
    api.put(namespacesPath, namespace('known'));
    let endlessly = 0;
    api.intercept = ({ verb }, response) => {
      if (verb !== 'watch' || endlessly >= 2) return false;
      endlessly += 1;
      response.writeHead(200);
      endless(response);
      return true;
    };
    const followed = new Names({ limits: { eventBytes: 10_000 } });
    await api.until(() => api.watches === 1);
    expect(followed.names).toEqual(['known']);
    expect(endlessly).toBe(2);
  });

  test('more objects than the bound are refused as a whole', async () => {
    for (const name of ['a', 'b', 'c']) api.put(namespacesPath, namespace(name));
    const followed = new Names({ limits: { objects: 2 } });
    await api.until(() => followed.informer.failure !== undefined);
    expect(followed.informer.failure).toMatch(/more than 2 objects/);
    expect(followed.names).toEqual([]);
  });

  test('empty pages that promise a next one end the list', async () => {
    api.intercept = (_request, response) => {
      response.end('{"metadata":{"resourceVersion":"1","continue":"more"},"items":[]}');
      return true;
    };
    const followed = new Names({});
    await api.until(() => followed.informer.failure !== undefined);
    expect(followed.informer.failure).toMatch(/an empty page that is not the last/);
  });
});

describe('what it may not', () => {
  test('is told in words that name the mend, and works as soon as it is granted', async () => {
    api.permissions.set('secret-token', ['list']);
    api.put(namespacesPath, namespace('one'));
    const followed = new Names({});
    await api.until(() => followed.informer.failure !== undefined);
    expect(followed.names).toEqual(['one']);
    expect(followed.informer.failure).toMatch(/^watch namespaces at 127\.0\.0\.1:\d+: 403 .* grant it by RBAC/);
    api.permissions.set('secret-token', ['list', 'watch']);
    api.put(namespacesPath, namespace('two'));
    await followed.become('one', 'two');
    expect(followed.informer.failure).toBeUndefined();
  });

  test('a token that is rotated counts from the next request on, and no token is told', async () => {
    let token = 'secret-token';
    const followed = new Names({ access: async () => ({ ...(await api.access()), token }) });
    await api.until(() => api.watches === 1);
    api.permissions.clear();
    api.permissions.set('second-token', ['list', 'watch']);
    api.endWatches('end');
    await api.until(() => followed.informer.failure !== undefined);
    expect(followed.informer.failure).toMatch(/401/);
    expect(followed.informer.failure).not.toMatch(/secret-token/);
    token = 'second-token';
    api.put(namespacesPath, namespace('after'));
    await followed.become('after');
  });

  test('an API server with a certificate of another CA gets no token', async () => {
    const other = await createAuthority(scope);
    const ca = await readFile(other.certificateFile, 'utf8');
    const triedAgain = Promise.withResolvers<void>();
    let tries = 0;
    const followed = new Names({
      access: async () => {
        tries += 1;
        if (tries === 2) triedAgain.resolve();
        return { ...(await api.access()), ca };
      },
    });
    await triedAgain.promise;
    expect(followed.informer.failure).toMatch(/is certificate-authority .* the CA of this API server\?/);
    expect(api.requests).toEqual([]);
  });
});

/** Writes until the connection is closed. */
function endless(response: ServerResponse): void {
  const chunk = Buffer.alloc(16_384, 'x');
  const more = () => {
    while (!response.destroyed && response.write(chunk));
  };
  response.on('drain', more);
  more();
}
