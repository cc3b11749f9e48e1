/** Milliseconds that this clock is ahead of a header `Date`, which has whole seconds and was written while the answer was on its way. */
export function aheadOf(date: string | undefined, now: number, milliseconds: number): number | undefined {
  const theirs = Date.parse(date ?? '');
  return Number.isNaN(theirs) ? undefined : Math.round(now - milliseconds / 2 - (theirs + 500));
}
