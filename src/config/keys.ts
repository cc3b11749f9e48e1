import { z } from 'zod';
import { configSchema } from './schema.ts';

type Schema = z.core.JSONSchema.BaseSchema;

/** How a value is written where there is no YAML around it: in an environment variable or after `--set key=`. */
export type ValueKind = 'text' | 'scalar' | 'list' | 'map';

/** A key of the configuration that holds a value (not a section). */
export interface ConfigKey {
  readonly path: readonly string[];
  /** `mirror.port` */
  readonly name: string;
  /** `SHOAL_MIRROR_PORT` */
  readonly variable: string;
  readonly kind: ValueKind;
  /** What the value may be, in words. */
  readonly allowed: string;
  /** Absent when the default depends on another key; the description says so then. */
  readonly default: unknown;
  readonly description: string;
}

/** The JSON schema of what may stand in the configuration file. */
export const configJsonSchema: Schema = z.toJSONSchema(configSchema, { io: 'input' });

/** Every key, in the schema's order: the one source of variable names, `--set` and the reference table in the docs. */
export const configKeys: readonly ConfigKey[] = keysOf(configJsonSchema, []);

/** The schema of what stands at `path`, or undefined when nothing can stand there. */
export function schemaAt(path: readonly PropertyKey[]): Schema | undefined {
  let schema: Schema | undefined = configJsonSchema;
  for (const segment of path) {
    schema = child(schema, segment);
    if (schema === undefined) return undefined;
  }
  return schema;
}

/** The keys that a section may have; empty for anything that is not a section. */
export function keysAt(path: readonly PropertyKey[]): readonly string[] {
  return Object.keys(schemaAt(path)?.properties ?? {});
}

/** What the schema allows, as the end of a sentence: `an integer from 1 to 65535`. */
export function describeAllowed(schema: Schema): string {
  const forms = schema.anyOf?.filter(isSchema);
  if (forms) return [...new Set(forms.map(describeAllowed))].join(' or ');
  if (schema.enum) return `one of ${schema.enum.join(', ')}`;
  switch (schema.type) {
    case 'integer':
    case 'number':
      return `${schema.type === 'integer' ? 'an integer' : 'a number'}${describeRange(schema)}`;
    case 'boolean':
      return 'true or false';
    case 'array':
      return `a list of ${isSchema(schema.items) && schema.items.type === 'string' ? 'texts' : 'values'}`;
    case 'object': {
      if (schema.properties) return `a section with the keys ${Object.keys(schema.properties).join(', ')}`;
      const entry = schema.additionalProperties;
      const keys = isSchema(entry) ? Object.keys(entry.properties ?? {}) : [];
      return `a map whose entries may have the keys ${keys.join(', ')}`;
    }
    default:
      return 'a text';
  }
}

function describeRange(schema: Schema): string {
  const { minimum = Number.MIN_SAFE_INTEGER, maximum = Number.MAX_SAFE_INTEGER, exclusiveMinimum } = schema;
  const bounds: string[] = [];
  if (exclusiveMinimum !== undefined) bounds.push(`above ${exclusiveMinimum}`);
  if (minimum > Number.MIN_SAFE_INTEGER) bounds.push(`from ${minimum}`);
  if (maximum < Number.MAX_SAFE_INTEGER)
    bounds.push(`${bounds.length > 0 && minimum === Number.MIN_SAFE_INTEGER ? 'and ' : ''}up to ${maximum}`);
  return bounds.map((bound) => ` ${bound}`).join('');
}

function keysOf(schema: Schema, path: readonly string[]): ConfigKey[] {
  return Object.entries(schema.properties ?? {}).flatMap(([segment, property]) => {
    if (!isSchema(property)) return [];
    const here = [...path, segment];
    if (property.properties) return keysOf(property, here);
    return {
      path: here,
      name: here.join('.'),
      variable: ['SHOAL', ...here.map(upperSnake)].join('_'),
      kind: kindOf(property),
      allowed: describeAllowed(property),
      default: property.default,
      description: property.description ?? '',
    };
  });
}

function kindOf(schema: Schema): ValueKind {
  if (schema.type === 'array') return 'list';
  if (schema.type === 'object') return 'map';
  return schema.type === 'string' ? 'text' : 'scalar';
}

/** `memoryCacheCapacityGB` becomes `MEMORY_CACHE_CAPACITY_GB`, `rrsaOIDCProviderRoleARN` `RRSA_OIDC_PROVIDER_ROLE_ARN`. */
function upperSnake(segment: string): string {
  return segment
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .replace(/([A-Z])([A-Z][a-z])/g, '$1_$2')
    .toUpperCase();
}

function child(schema: Schema, segment: PropertyKey): Schema | undefined {
  if (typeof segment === 'number') return isSchema(schema.items) ? schema.items : undefined;
  const property = Object.hasOwn(schema.properties ?? {}, segment)
    ? schema.properties?.[String(segment)]
    : schema.additionalProperties;
  return isSchema(property) ? property : undefined;
}

function isSchema(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
