import type { Component } from './components.ts';

/** The software bill of materials, CycloneDX 1.6 as JSON. Without a date or a random number: the same package has the same one. */
export function billOfMaterials(version: string, components: readonly Component[]): string {
  const document = {
    $schema: 'http://cyclonedx.org/schema/bom-1.6.schema.json',
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    version: 1,
    metadata: {
      component: {
        type: 'application',
        'bom-ref': 'shoal',
        name: 'shoal',
        version,
        licenses: [{ license: { id: 'Apache-2.0' } }],
      },
    },
    components: components.map(({ name, version: componentVersion, purl, licence, integrity }) => ({
      type: name === 'node' ? 'platform' : 'library',
      'bom-ref': purl,
      name,
      version: componentVersion,
      purl,
      licenses: [{ expression: licence }],
      ...(integrity === undefined ? {} : { hashes: [sha512(integrity)] }),
    })),
    dependencies: [{ ref: 'shoal', dependsOn: components.map(({ purl }) => purl) }],
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}

function sha512(integrity: string): { alg: string; content: string } {
  return { alg: 'SHA-512', content: Buffer.from(integrity.replace(/^sha512-/, ''), 'base64').toString('hex') };
}
