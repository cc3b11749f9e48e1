interface Waiting {
  readonly settle: (result: number) => void;
  /** What the addon's threads use meanwhile: nothing in here is collected before the ticket is delivered. */
  readonly held: readonly object[];
}

/** Tickets that one call from the addon delivers at most; more arrive in further calls of the same turn. */
const batch = 256;

/** Pairs of a ticket and its result, filled by the addon before it calls `deliver`. */
export const results = new Int32Array(2 * batch);
const waiting: (Waiting | undefined)[] = [];
const freeTickets: number[] = [];

/** Called by the addon on the event loop: the first `count` pairs of `results` are due. Never throws. */
export function deliver(count: number): void {
  for (let i = 0; i < count; i++) {
    const ticket = results[2 * i] ?? 0;
    const entry = waiting[ticket];
    waiting[ticket] = undefined;
    freeTickets.push(ticket);
    entry?.settle(results[2 * i + 1] ?? 0);
  }
}

/**
 * Starts an asynchronous request of the addon and resolves with its result, an errno (0 for success) or a checksum as a
 * signed number, when its threads are done.
 * @param held - kept from the garbage collector until then.
 * @param start - hands the ticket to the addon; what it throws rejects the promise.
 */
export function request(held: readonly object[], start: (ticket: number) => void): Promise<number> {
  return new Promise((resolve) => begin(held, resolve, start));
}

/** As `request`, for who makes a promise of its own: `settle` is called with the result, unless `start` throws. */
export function begin(
  held: readonly object[],
  settle: (result: number) => void,
  start: (ticket: number) => void,
): void {
  const ticket = freeTickets.pop() ?? waiting.length;
  waiting[ticket] = { settle, held };
  try {
    start(ticket);
  } catch (error) {
    waiting[ticket] = undefined;
    freeTickets.push(ticket);
    throw error;
  }
}
