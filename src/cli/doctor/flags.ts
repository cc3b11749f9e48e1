/**
 * A flag's value on a command line, written `--name=value` or `--name value`, or in the same way with the short name; the last one
 * counts.
 */
export function flag(args: readonly string[], name: string, short?: string): string | undefined {
  const names = [`--${name}`, ...(short === undefined ? [] : [`-${short}`])];
  let value: string | undefined;
  for (const [at, arg] of args.entries()) {
    const [head = '', ...rest] = arg.split('=');
    if (!names.includes(head)) continue;
    value = rest.length > 0 ? rest.join('=') : args[at + 1];
  }
  return value;
}
