import type { Command, Option } from 'commander';

/** A command that does something, and how it is called. What `--help`, the man page and shell completion are made of. */
export interface CommandEntry {
  /** `shoal cache ls` */
  readonly path: string;
  /** `shoal pulls explain <id>` */
  readonly usage: string;
  readonly description: string;
  readonly options: readonly Option[];
  readonly arguments: readonly { readonly name: string; readonly description: string }[];
}

/** The visible commands below `command`, groups left out, in the order of `--help`. */
export function commandEntries(command: Command, above: readonly string[] = []): CommandEntry[] {
  const path = [...above, command.name()];
  const children = childrenOf(command);
  if (children.length > 0) return children.flatMap((child) => commandEntries(child, path));
  const placeholders = command.registeredArguments.map((argument) =>
    argument.required ? `<${argument.name()}>` : `[${argument.name()}]`,
  );
  return [
    {
      path: path.join(' '),
      usage: [...path, ...placeholders].join(' '),
      description: command.description(),
      options: command.options.filter(({ hidden }) => !hidden),
      arguments: command.registeredArguments.map((argument) => ({
        name: argument.name(),
        description: argument.description,
      })),
    },
  ];
}

/** The visible commands right below, without `help`. */
export function childrenOf(command: Command): readonly Command[] {
  return command
    .createHelp()
    .visibleCommands(command)
    .filter((child) => child.name() !== 'help');
}
