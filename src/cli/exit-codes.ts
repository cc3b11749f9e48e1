/** What the command's exit code says. The numbers above 1 are those of sysexits.h, as systemd names them in its log. */
export const exitCodes = {
  ok: 0,
  /** What was asked for failed; standard error says why. */
  failed: 1,
  /** The command line is wrong (EX_USAGE). */
  usage: 64,
  /** No agent answers (EX_UNAVAILABLE). */
  unavailable: 69,
  /** The configuration is wrong (EX_CONFIG); a restart can't mend it. */
  config: 78,
} as const;

/** A mistake in how the command was called that only the command itself can see. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UsageError';
  }
}

/** The agent that the command has to ask does not answer. */
export class UnavailableError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UnavailableError';
  }
}
