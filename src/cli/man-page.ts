import type { Command } from 'commander';
import { type CommandEntry, commandEntries } from './command-tree.ts';
import { exitCodes } from './exit-codes.ts';

const exitMeanings: Readonly<Record<keyof typeof exitCodes, string>> = {
  ok: 'Done.',
  failed: 'What was asked for failed; standard error says why.',
  usage: 'The command line is wrong.',
  unavailable: 'No agent answers: it does not run, or with another runDir, or its engine hangs.',
  config: "The configuration is wrong; a restart can't mend it.",
};

/** The man page of all commands, from the same descriptions as `--help`: roff of man(7). */
export function manPage(program: Command, version: string): string {
  const entries = commandEntries(program);
  return [
    `.TH SHOAL 8 "" "shoal ${escaped(version)}" "Shoal"`,
    '.SH NAME',
    `shoal \\- ${escaped(lowerFirst(program.description()))}`,
    '.SH SYNOPSIS',
    '.B shoal',
    '.I command',
    '[options]',
    '.SH COMMANDS',
    ...entries.flatMap(commandSection),
    '.SH EXIT STATUS',
    ...Object.entries(exitCodes).flatMap(([name, code]) => [
      '.TP',
      `.B ${code}`,
      escaped(exitMeanings[name as keyof typeof exitCodes]),
    ]),
    '.SH ENVIRONMENT',
    '.TP',
    '.B SHOAL_CONFIG',
    'The configuration file, where \\-\\-config does not name one.',
    '.TP',
    '.B SHOAL_*',
    'Every key of the configuration has a variable; they win over the file. shoal config print tells where each value comes from.',
    '.TP',
    '.B NO_COLOR',
    'No colours, whatever the terminal.',
    '.TP',
    '.B TRACEPARENT, TRACESTATE',
    'The trace that shoal pull and shoal preheat take part in (W3C Trace Context).',
    '.SH FILES',
    '.TP',
    '.I /etc/shoal/config.yaml',
    'The configuration.',
    '.TP',
    '.I /run/shoal/shoal.sock',
    "The image service that the kubelet's \\-\\-image\\-service\\-endpoint names.",
    '.TP',
    '.I /var/lib/shoal',
    'The cache and the loopback secret.',
    '',
  ].join('\n');
}

function commandSection({ usage, description, options, arguments: operands }: CommandEntry): string[] {
  return [
    `.SS ${escaped(usage)}`,
    escaped(sentence(description)),
    ...operands
      .filter((operand) => operand.description !== '')
      .flatMap((operand) => ['.TP', `.I ${escaped(operand.name)}`, escaped(sentence(operand.description))]),
    ...options.flatMap(({ flags, description: what, argChoices, defaultValue }) => {
      const choices = argChoices === undefined ? '' : ` One of ${argChoices.join(', ')}.`;
      const initial = defaultValue === undefined ? '' : ` Default: ${String(defaultValue)}.`;
      return ['.TP', `.B ${escaped(flags)}`, escaped(`${sentence(what)}${choices}${initial}`)];
    }),
  ];
}

function sentence(text: string): string {
  const first = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.)]$/.test(first) ? first : `${first}.`;
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

/** A backslash, a hyphen and a line's first dot or apostrophe mean something in roff. */
function escaped(text: string): string {
  return text.replaceAll('\\', '\\e').replaceAll('-', '\\-').replace(/^[.']/, '\\&$&');
}
