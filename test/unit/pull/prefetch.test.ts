import { describe, expect, it } from 'vitest';
import { layersAhead } from '../../../src/pull/prefetch.ts';

const layer = (name: string, size = 10) => ({ digest: `sha256:${name}`, size, mediaType: 'layer' });
const layers = ['a', 'b', 'c', 'd'].map((name) => layer(name));
const ahead = (...requested: string[]) =>
  layersAhead(layers, new Set(requested.map((name) => `sha256:${name}`))).map(({ digest }) => digest.slice(7));

describe('prefetching', () => {
  it('waits until the runtime asks for its first layer', () => {
    expect(ahead()).toEqual([]);
    expect(ahead('config')).toEqual([]);
  });

  it('fetches what follows, in manifest order', () => {
    expect(ahead('a')).toEqual(['b', 'c', 'd']);
  });

  it('leaves out the layers that the runtime has passed over: it has them', () => {
    expect(ahead('c')).toEqual(['d']);
    expect(ahead('a', 'c')).toEqual(['d']);
  });

  it('takes a layer that stands twice only once, and no empty blob', () => {
    const image = [layer('a'), layer('b'), layer('empty', 0), layer('b'), layer('a')];
    expect(layersAhead(image, new Set(['sha256:a'])).map(({ digest }) => digest)).toEqual(['sha256:b']);
    expect(layersAhead([layer('x'), ...image], new Set(['sha256:x'])).map(({ digest }) => digest)).toEqual([
      'sha256:a',
      'sha256:b',
    ]);
  });
});
