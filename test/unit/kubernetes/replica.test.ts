import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Replica } from '../../../src/kubernetes/replica.ts';
import type { KubernetesObject, WatchEvent } from '../../../src/kubernetes/types.ts';

const object = (name: string, version: number, value: unknown = version): KubernetesObject => ({
  namespace: 'shoal',
  name,
  resourceVersion: String(version),
  content: { value },
});
const numberIn = ({ content }: KubernetesObject): number | undefined =>
  typeof content.value === 'number' ? content.value : undefined;
const newReplica = (limit = 100) => new Replica(numberIn, limit);

describe('a replica', () => {
  test('needs a list first, and goes on from its version', () => {
    const replica = newReplica();
    expect(replica.resourceVersion).toBeUndefined();
    expect(replica.replace({ objects: [object('a', 3)], resourceVersion: '7' })).toBe(true);
    expect(replica.resourceVersion).toBe('7');
    expect([...replica.objects]).toEqual([['shoal/a', 3]]);
  });

  test('keeps what it knows when its version has expired, until the next list', () => {
    const replica = newReplica();
    replica.replace({ objects: [object('a', 3)], resourceVersion: '7' });
    replica.expire();
    expect(replica.resourceVersion).toBeUndefined();
    expect([...replica.objects.keys()]).toEqual(['shoal/a']);
    replica.replace({ objects: [object('b', 9)], resourceVersion: '9' });
    expect([...replica.objects.keys()]).toEqual(['shoal/b']);
  });

  test('says whether an answer changed anything', () => {
    const replica = newReplica();
    const list = { objects: [object('a', 3)], resourceVersion: '7' };
    replica.replace(list);
    expect(replica.replace(list)).toBe(false);
    expect(replica.apply([{ type: 'BOOKMARK', resourceVersion: '8' }])).toBe(false);
    expect(replica.apply([{ type: 'ADDED', object: object('a', 3) }])).toBe(false);
    expect(replica.apply([{ type: 'DELETED', object: object('unknown', 9) }])).toBe(false);
    expect(replica.apply([{ type: 'MODIFIED', object: object('a', 10) }])).toBe(true);
    expect(replica.replace({ objects: [object('b', 3)], resourceVersion: '11' })).toBe(true);
    expect(replica.replace({ objects: [], resourceVersion: '12' })).toBe(true);
  });

  test('forgets an object that becomes one of which nothing is kept', () => {
    const replica = newReplica();
    replica.replace({ objects: [object('a', 3)], resourceVersion: '3' });
    replica.apply([{ type: 'MODIFIED', object: object('a', 4, 'no number') }]);
    expect(replica.objects.size).toBe(0);
  });

  test('refuses more objects than its bound and keeps what it had; objects of which nothing is kept count', () => {
    const replica = newReplica(2);
    replica.replace({ objects: [object('a', 1), object('b', 2, 'no number')], resourceVersion: '2' });
    expect(() => replica.apply([{ type: 'ADDED', object: object('c', 3) }])).toThrow(/more than 2 objects/);
    const three = [object('x', 4), object('y', 5), object('z', 6)];
    expect(() => replica.replace({ objects: three, resourceVersion: '6' })).toThrow(/more than 2 objects/);
    expect([...replica.objects.keys()]).toEqual(['shoal/a']);
    expect(replica.resourceVersion).toBe('2');
  });
});

/** A collection with its history, as the API server has it. */
class ModelServer {
  readonly objects = new Map<string, KubernetesObject>();
  version = 1;
  oldest = 1;
  #history: { readonly version: number; readonly event: WatchEvent }[] = [];

  put(name: string): void {
    this.version += 1;
    const stored = object(name, this.version);
    this.#remember({ type: this.objects.has(name) ? 'MODIFIED' : 'ADDED', object: stored });
    this.objects.set(name, stored);
  }

  remove(name: string): void {
    const stored = this.objects.get(name);
    if (stored === undefined) return;
    this.version += 1;
    this.#remember({ type: 'DELETED', object: { ...stored, resourceVersion: String(this.version) } });
    this.objects.delete(name);
  }

  compact(): void {
    this.#history = [];
    this.oldest = this.version;
  }

  /** Lets a replica do its next step, as the informer would: a list, or at most `count` events of a watch. */
  serve(replica: Replica<number>, count: number): void {
    const from = replica.resourceVersion;
    if (from === undefined) {
      replica.replace({ objects: [...this.objects.values()], resourceVersion: String(this.version) });
    } else if (Number(from) < this.oldest) {
      replica.expire();
    } else {
      const events = this.#history.filter(({ version }) => version > Number(from));
      replica.apply(events.slice(0, count).map(({ event }) => event));
      if (events.length <= count) replica.apply([{ type: 'BOOKMARK', resourceVersion: String(this.version) }]);
    }
  }

  #remember(event: WatchEvent): void {
    this.#history.push({ version: this.version, event });
  }
}

test('whatever happens in between, a replica that has caught up equals the server', () => {
  const name = fc.constantFrom('a', 'b', 'c', 'd');
  const step = fc.oneof(
    fc.record({ do: fc.constant('put'), name }),
    fc.record({ do: fc.constant('remove'), name }),
    fc.record({ do: fc.constant('compact') }),
    fc.record({ do: fc.constant('serve'), count: fc.nat(3) }),
    fc.record({ do: fc.constant('doubt') }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const server = new ModelServer();
      const replica = newReplica();
      for (const each of steps) {
        if ('name' in each) {
          if (each.do === 'put') server.put(each.name);
          else server.remove(each.name);
        } else if ('count' in each) server.serve(replica, each.count);
        else if (each.do === 'compact') server.compact();
        else replica.expire();
      }
      // At most: the version has expired, the list, what came since.
      for (let round = 0; round < 3; round += 1) server.serve(replica, 100);
      const expected = [...server.objects.values()].map((stored) => [`shoal/${stored.name}`, stored.content.value]);
      expect([...replica.objects].sort()).toEqual(expected.sort());
    }),
  );
});
