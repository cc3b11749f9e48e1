/*
 * CRI-O and podman send no `ns`: their configuration puts the registry's name into the mirror's path, as the first component of
 * a repository. A repository's grammar has no colon, and containers/image fails a pull whose mirror's location breaks it
 * ("invalid reference format"). So `reg.example:5000` is written `reg.example_5000`; no host name has an underscore.
 */

/** The registry `host[:port]` as a component of a path. */
export function pathOfRegistry(registry: string): string {
  return registry.replace(/:(\d+)$/, '_$1');
}

/**
 * The registry that the first component of a path names, or undefined when that is none. By the rule of image references
 * it has a dot or a colon, or is localhost; a port may also be written as `pathOfRegistry` does. Not checked any further.
 */
export function registryOfPath(component: string): string | undefined {
  const registry = component.replace(/_(\d{1,5})$/, ':$1');
  return /[.:]/.test(registry) || registry === 'localhost' ? registry : undefined;
}
