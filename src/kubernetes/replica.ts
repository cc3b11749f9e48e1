import { KubernetesError, type KubernetesObject, type ObjectList, type WatchEvent } from './types.ts';

/**
 * A copy of a collection of the API server, made of lists and watch events. Pure: events in, objects out. What was known
 * stays until a newer answer replaces it, however long that takes.
 */
export class Replica<T> {
  readonly #parse: (object: KubernetesObject) => T | undefined;
  readonly #limit: number;
  #values = new Map<string, T>();
  /** Of every object, also of those of which nothing is kept. */
  #versions = new Map<string, string>();
  #resourceVersion: string | undefined;

  /** `parse` takes from an object what is kept in memory; undefined for nothing. `limit` in objects. */
  constructor(parse: (object: KubernetesObject) => T | undefined, limit: number) {
    this.#parse = parse;
    this.#limit = limit;
  }

  /** From where a watch goes on; undefined when a list is due. */
  get resourceVersion(): string | undefined {
    return this.#resourceVersion;
  }

  /** What is kept of each object, by `namespace/name`; `/name` for what is in no namespace. Follows later changes. */
  get objects(): ReadonlyMap<string, T> {
    return this.#values;
  }

  /** A complete list takes the place of all. True when that changed anything. */
  replace(list: ObjectList): boolean {
    const values = new Map<string, T>();
    const versions = new Map<string, string>();
    let changed = list.objects.length !== this.#versions.size;
    for (const object of list.objects) {
      const key = keyOf(object);
      const same = this.#versions.get(key) === object.resourceVersion;
      const value = same ? this.#values.get(key) : this.#parse(object);
      if (value !== undefined) values.set(key, value);
      versions.set(key, object.resourceVersion);
      changed ||= !same;
    }
    this.#checkSize(versions.size);
    this.#values = values;
    this.#versions = versions;
    this.#resourceVersion = list.resourceVersion;
    return changed;
  }

  /** Events in the order of the watch. True when they changed anything. */
  apply(events: readonly WatchEvent[]): boolean {
    let changed = false;
    for (const event of events) {
      if (event.type !== 'BOOKMARK') changed = this.#change(event.type, event.object) || changed;
      this.#resourceVersion = event.type === 'BOOKMARK' ? event.resourceVersion : event.object.resourceVersion;
    }
    return changed;
  }

  /** The version is too old for a watch, or is not trusted any more: the next answer is a list. */
  expire(): void {
    this.#resourceVersion = undefined;
  }

  #change(type: 'ADDED' | 'MODIFIED' | 'DELETED', object: KubernetesObject): boolean {
    const key = keyOf(object);
    if (type === 'DELETED') {
      this.#values.delete(key);
      return this.#versions.delete(key);
    }
    if (this.#versions.get(key) === object.resourceVersion) return false;
    if (!this.#versions.has(key)) this.#checkSize(this.#versions.size + 1);
    const value = this.#parse(object);
    if (value === undefined) this.#values.delete(key);
    else this.#values.set(key, value);
    this.#versions.set(key, object.resourceVersion);
    return true;
  }

  #checkSize(size: number): void {
    if (size <= this.#limit) return;
    throw new KubernetesError('invalid', `more than ${this.#limit} objects; the last known ones are kept`);
  }
}

function keyOf({ namespace, name }: KubernetesObject): string {
  return `${namespace}/${name}`;
}
