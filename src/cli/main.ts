#!/usr/bin/env node
import { CommanderError } from 'commander';
import { ConfigError, formatFinding } from '../config/errors.ts';
import { exitCodes, UnavailableError, UsageError } from './exit-codes.ts';
import { createProgram } from './program.ts';

// `shoal config schema | head` closes the pipe early; that is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});

try {
  await createProgram().parseAsync(process.argv);
} catch (error) {
  // At once: an engine of which one part could not start would live on by the others, and never be started anew.
  process.exit(report(error));
}

/** Says on standard error what went wrong, without a stack: causes and mends are in the messages. */
function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  if (error instanceof ConfigError) {
    for (const finding of error.findings) process.stderr.write(`shoal: ${formatFinding(finding)}\n`);
    return exitCodes.config;
  }
  process.stderr.write(`shoal: ${error instanceof Error ? error.message : String(error)}\n`);
  if (error instanceof UnavailableError) return exitCodes.unavailable;
  return error instanceof UsageError ? exitCodes.usage : exitCodes.failed;
}
