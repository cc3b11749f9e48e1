/** Why the store can't do what it was asked for. */
export type StoreErrorKind =
  /** The store was closed. */
  | 'closed'
  /** Nothing that can be a piece: a length of 0, above 4 MiB or above the memory tier; an index or digest out of bounds. */
  | 'piece'
  /** Memory mode found too little free memory at start. */
  | 'memory'
  /** Another process uses the directory. */
  | 'locked'
  /** The directory holds a file that Shoal did not write. */
  | 'foreign-file';

/** The message names the cause and the mend. */
export class StoreError extends Error {
  readonly kind: StoreErrorKind;
  constructor(kind: StoreErrorKind, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'StoreError';
    this.kind = kind;
  }
}

export function closedError(): StoreError {
  return new StoreError('closed', 'the piece store is closed');
}
