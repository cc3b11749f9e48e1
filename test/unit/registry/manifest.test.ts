import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseManifest } from '../../../src/registry/manifest.ts';
import { RegistryError } from '../../../src/registry/types.ts';

const digest = (digit: string) => `sha256:${digit.repeat(64)}`;
const ociIndex = 'application/vnd.oci.image.index.v1+json';
const ociImage = 'application/vnd.oci.image.manifest.v1+json';
const dockerList = 'application/vnd.docker.distribution.manifest.list.v2+json';
const dockerImage = 'application/vnd.docker.distribution.manifest.v2+json';
const gzip = 'application/vnd.oci.image.layer.v1.tar+gzip';

const config = { mediaType: 'application/vnd.oci.image.config.v1+json', digest: digest('c'), size: 7 };
const layer = { mediaType: gzip, digest: digest('1'), size: 100 };
const image = { schemaVersion: 2, config, layers: [layer] };
const index = { schemaVersion: 2, manifests: [{ mediaType: ociImage, digest: digest('a'), size: 5 }] };
const parse = (mediaType: string, manifest: unknown) => parseManifest(mediaType, Buffer.from(JSON.stringify(manifest)));

describe('a manifest', () => {
  test.each([ociImage, dockerImage, `${ociImage}; charset=utf-8`, 'application/json'])(
    'of type %s is an image',
    (type) => {
      expect(parse(type, image)).toEqual({ kind: 'image', config, layers: [{ ...layer, foreign: false }] });
    },
  );

  test.each([ociIndex, dockerList, 'text/plain'])('of type %s is an index', (type) => {
    expect(parse(type, index)).toEqual({ kind: 'index', manifests: index.manifests });
  });

  test('keeps the platforms of an index', () => {
    const platform = { os: 'linux', architecture: 'arm', variant: 'v7' };
    const [entry] = index.manifests;
    expect(parse(ociIndex, { manifests: [{ ...entry, platform: { ...platform, 'os.version': '1' } }, entry] })).toEqual(
      {
        kind: 'index',
        manifests: [{ ...entry, platform }, entry],
      },
    );
  });

  test.each([
    [{ ...layer, urls: ['https://example.com/'] }, true],
    [{ ...layer, mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip' }, true],
    [{ ...layer, mediaType: 'application/vnd.oci.image.layer.nondistributable.v1.tar+zstd' }, true],
    [{ ...layer, urls: [] }, false],
    [{ ...layer, urls: null }, false],
  ])('flags %j as foreign: %s', (each, foreign) => {
    expect(parse(ociImage, { ...image, layers: [each] })).toMatchObject({ layers: [{ foreign }] });
  });

  test.each<[string, unknown, RegExp]>([
    [dockerImage, { schemaVersion: 1, fsLayers: [] }, /schema 1/],
    ['application/vnd.docker.distribution.manifest.v1+prettyjws', image, /schema 1/],
    [ociImage, { ...image, ...index }, /fields of an index and of an image/],
    [ociImage, { ...image, mediaType: dockerList }, /Content-Type is .*, its mediaType/],
    [ociIndex, image, /manifests:/],
    [ociImage, { schemaVersion: 2 }, /config:/],
    [ociImage, [], /the document:/],
    [ociImage, null, /the document:/],
    [ociImage, { ...image, layers: [{ ...layer, size: -1 }] }, /layers\.0\.size:/],
    [ociImage, { ...image, layers: [{ ...layer, size: 1.5 }] }, /layers\.0\.size:/],
    [ociImage, { ...image, layers: [{ ...layer, size: 1e300 }] }, /layers\.0\.size:/],
    [ociImage, { ...image, layers: [{ ...layer, digest: '../../etc' }] }, /layers\.0\.digest: is not sha256/],
    [ociImage, { ...image, config: { ...config, digest: 7 } }, /config\.digest:/],
    [ociImage, { ...image, layers: Array(1025).fill(layer) }, /layers:/],
    [ociIndex, { manifests: Array(1025).fill(index.manifests[0]) }, /manifests:/],
  ])('of type %s that says %j is refused by its fault', (type, manifest, message) => {
    expect(() => parse(type, manifest)).toThrow(RegistryError);
    expect(() => parse(type, manifest)).toThrow(message);
  });

  test.each([
    ['nothing', ''],
    ['HTML', '<html>'],
    ['half a document', '{"config":'],
    ['deep nesting', '['.repeat(1_000_000)],
    ['bytes that are no UTF-8', Buffer.from([0x22, 0xff, 0x22])],
  ])('of %s is refused', (_, body) => {
    expect(() => parseManifest(ociImage, Buffer.from(body))).toThrow('manifest: it is not JSON in UTF-8');
  });

  test('of any JSON is parsed or refused with a short message', () => {
    const json = fc.oneof(
      fc.jsonValue(),
      fc.record({ config: fc.jsonValue(), layers: fc.jsonValue(), mediaType: fc.jsonValue() }, { requiredKeys: [] }),
      fc.record({ manifests: fc.array(fc.jsonValue()), schemaVersion: fc.jsonValue() }, { requiredKeys: [] }),
    );
    fc.assert(
      fc.property(fc.constantFrom(ociImage, ociIndex, 'x'), json, (type, manifest) => {
        try {
          parse(type, manifest);
        } catch (error) {
          expect(error).toBeInstanceOf(RegistryError);
          expect((error as RegistryError).message.length).toBeLessThan(500);
        }
      }),
    );
  });
});
