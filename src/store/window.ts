/**
 * The aligned window that can be emptied at the least loss, for a run of `blocks`. The buddy allocator's runs never cross
 * a multiple of their size rounded up to a power of two, so an emptied window always has room for the run.
 *
 * `holders`: who has each block, undefined where it is free. `worth`: the loss of sending a holder away, undefined where it
 * must stay. Returns the holders to send away; undefined where every window has one that must stay.
 */
export function cheapestWindow<Holder extends object>(
  holders: readonly (Holder | undefined)[],
  blocks: number,
  worth: (holder: Holder) => number | undefined,
): Set<Holder> | undefined {
  const size = 2 ** Math.ceil(Math.log2(blocks));
  let best: Set<Holder> | undefined;
  let bestLoss = Number.POSITIVE_INFINITY;
  for (let start = 0; start + size <= holders.length; start += size) {
    const inside = new Set<Holder>();
    let loss = 0;
    for (let at = start; at < start + size && loss < bestLoss; at += 1) {
      const holder = holders[at];
      if (!holder || inside.has(holder)) continue;
      inside.add(holder);
      loss += worth(holder) ?? Number.POSITIVE_INFINITY;
    }
    if (loss < bestLoss) {
      best = inside;
      bestLoss = loss;
    }
  }
  return best;
}
