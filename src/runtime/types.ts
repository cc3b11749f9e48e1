export const runtimes = ['containerd', 'crio', 'podman'] as const;
export type Runtime = (typeof runtimes)[number];

/** A file as it is and as it should be. */
export interface FileChange {
  readonly path: string;
  /** Undefined: there is no such file. */
  readonly before: string | undefined;
  /** Undefined: the file goes. */
  readonly after: string | undefined;
  /** Permissions now; undefined where there is no file. */
  readonly modeBefore: number | undefined;
  /** Permissions afterwards. */
  readonly mode: number;
  /** Folders above the file that go with it, if they are empty. */
  readonly emptyFolders: number;
}

/** What is to be done to a runtime's configuration, and what is to be said about it. */
export interface Plan {
  readonly changes: readonly FileChange[];
  /** True about the outcome, e.g. which registries are not accelerated and why. */
  readonly notes: readonly string[];
  /** What the administrator has to do before anything is accelerated, or before it takes effect. */
  readonly todo: readonly string[];
}

/** The runtime's configuration is not such that Shoal can add to it. The message names the file, the cause and the mend. */
export class RuntimeConfigError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'RuntimeConfigError';
  }
}
