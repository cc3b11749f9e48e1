/** One thing that is wrong with the configuration. */
export interface Finding {
  /** `/etc/shoal/config.yaml:3:5`, `environment variable SHOAL_MIRROR_PORT` or `--set mirror.port`. */
  readonly where: string;
  /** The key it is about; empty when it is about the file as a whole. */
  readonly key: string;
  /** What is wrong, what was meant and what is allowed. */
  readonly message: string;
}

/** The configuration can't be used. Carries everything that is wrong with it, so that one round of mending suffices. */
export class ConfigError extends Error {
  readonly findings: readonly Finding[];
  constructor(findings: readonly Finding[]) {
    super(findings.map(formatFinding).join('\n'));
    this.name = 'ConfigError';
    this.findings = findings;
  }
}

/** One line. The key is left out where the place already ends in it (`--set mirror.port`). */
export function formatFinding({ where, key, message }: Finding): string {
  return [where, ...(key === '' || where.endsWith(` ${key}`) ? [] : [key]), message].join(': ');
}
