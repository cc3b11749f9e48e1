import { Command } from 'commander';
import { withConfigOptions } from './config-options.ts';
import { outputOption } from './output.ts';

/**
 * The `shoal` command. Each command's code is loaded when it runs: the supervisor stays on every node all the time and
 * should hold no more than it needs.
 */
export function createProgram(): Command {
  const program = new Command('shoal')
    .description('Makes container images arrive faster on Kubernetes nodes')
    .showHelpAfterError('(--help lists the options)')
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'shoal: ')) })
    .exitOverride();
  addConfig(program);
  program
    .command('version')
    .description('print the version')
    .addOption(outputOption())
    .action(async (options) => (await import('./version.ts')).printVersion(options));
  return program;
}

function addConfig(program: Command): void {
  const config = program.command('config').description('check and show the configuration');
  withConfigOptions(config.command('check'))
    .description('say what is wrong with the configuration; exits with 78 when something is')
    .addOption(outputOption())
    .action(async (options) => (await import('./config.ts')).check(options));
  withConfigOptions(config.command('print'))
    .description('print the effective configuration and where each value comes from')
    .addOption(outputOption())
    .action(async (options) => (await import('./config.ts')).printEffective(options));
  config
    .command('schema')
    .description('print the JSON schema of the configuration file')
    .action(async () => (await import('./config.ts')).printSchema());
}
