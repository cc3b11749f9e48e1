import type { Command, Option } from 'commander';
import { childrenOf } from './command-tree.ts';
import type { Shell } from './shells.ts';

/** What may follow a command. */
interface Node {
  /** Words of the command behind `shoal`, `cache ls`; empty for `shoal` itself. */
  readonly path: string;
  readonly children: readonly { readonly name: string; readonly description: string }[];
  readonly options: readonly Option[];
}

/** The completion script of a shell, made of the same tree as `--help`. */
export function completionScript(program: Command, shell: Shell): string {
  const nodes = nodesOf(program, []);
  switch (shell) {
    case 'bash':
      return bash(nodes);
    case 'zsh':
      // zsh runs bash's completions, with their functions' conventions.
      return `#compdef shoal\nautoload -U +X bashcompinit && bashcompinit\n${bash(nodes)}`;
    case 'fish':
      return fish(nodes);
  }
}

function nodesOf(command: Command, path: readonly string[]): Node[] {
  const children = childrenOf(command);
  return [
    {
      path: path.join(' '),
      children: children.map((child) => ({ name: child.name(), description: child.description() })),
      options: command.options.filter(({ hidden }) => !hidden),
    },
    ...children.flatMap((child) => nodesOf(child, [...path, child.name()])),
  ];
}

/** The longest known command among the words is where we are; then its words, its options, or an option's values. */
function bash(nodes: readonly Node[]): string {
  const words = nodes.map(({ path, children, options }) => {
    const all = [...children.map(({ name }) => name), ...options.map(({ long }) => long), '--help'];
    return `    '${path}') words='${all.filter(Boolean).join(' ')}' ;;`;
  });
  const values = uniqueValues(nodes).map(([flag, choices]) => `    ${flag}) words='${choices.join(' ')}'; known=1 ;;`);
  const files = fileFlags(nodes).join('|');
  return `# shoal completion
_shoal() {
  local word path='' words='' known='' current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${path:+$path }\${COMP_WORDS[i]}"
    case "$word" in
    ${nodes
      .map(({ path }) => path)
      .filter(Boolean)
      .map((path) => `'${path}'`)
      .join('|')}) path="$word" ;;
    esac
  done
  case "$previous" in
${values.join('\n')}
    ${files}) COMPREPLY=($(compgen -f -- "$current")); return ;;
  esac
  if [[ -z $known ]]; then
    case "$path" in
${words.join('\n')}
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -F _shoal shoal
`;
}

function fish(nodes: readonly Node[]): string {
  const lines = nodes.flatMap(({ path, children, options }) => {
    const there = path === '' ? '__fish_use_subcommand' : `__shoal_at ${path}`;
    return [
      ...children.map(
        ({ name, description }) => `complete -c shoal -f -n '${there}' -a '${name}' -d '${quoted(description)}'`,
      ),
      ...options.map(({ long, description, argChoices, required }) => {
        const value = argChoices ? ` -x -a '${argChoices.join(' ')}'` : required ? ' -r' : '';
        return `complete -c shoal -n '${there}' -l '${long?.replace(/^--/, '')}'${value} -d '${quoted(description)}'`;
      }),
    ];
  });
  return `# shoal completion
function __shoal_at
  set -l words (commandline -opc)
  set -l wanted $argv
  test (count $words) -gt (count $wanted); or return 1
  for at in (seq (count $wanted))
    test "$words[(math $at + 1)]" = "$wanted[$at]"; or return 1
  end
end
${lines.join('\n')}
`;
}

function uniqueValues(nodes: readonly Node[]): [string, readonly string[]][] {
  const values = new Map<string, readonly string[]>();
  for (const { options } of nodes) {
    for (const { long, argChoices } of options) if (long && argChoices) values.set(long, argChoices);
  }
  return [...values];
}

/** Options that take a file or a folder. */
function fileFlags(nodes: readonly Node[]): string[] {
  const flags = new Set<string>();
  for (const { options } of nodes) {
    for (const { long, flags: text } of options) if (long && /<(file|folder|path)>/.test(text)) flags.add(long);
  }
  return [...flags];
}

function quoted(text: string): string {
  return text.replaceAll("'", "\\'");
}
