import { type Logger as PinoLogger, pino } from 'pino';

export type Logger = PinoLogger;

export type LogLevel = 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent';

/**
 * One JSON object a line on standard error, as journald and the kubelet's log readers take it; `name` tells the process.
 * Standard output stays free for what a command prints. Credentials never reach a log call; `redact` is the net below.
 */
export function createLogger(options: { readonly name: string; readonly level: LogLevel }): Logger {
  return pino(
    {
      name: options.name,
      level: options.level,
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: {
        paths: ['auth', '*.auth', 'password', '*.password', 'authorization', '*.authorization', 'token', '*.token'],
        censor: '[secret]',
      },
    },
    pino.destination({ dest: 2, sync: true }),
  );
}
