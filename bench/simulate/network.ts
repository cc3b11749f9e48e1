/** A transfer under way. */
export interface Flow {
  /** Bytes that are still to come, at the end of the present step. */
  remaining: number;
  /** Bytes per millisecond in the present step. */
  rate: number;
  /** Position in the network's list; -1 once it is over. */
  place: number;
  readonly from: number;
  readonly to: number;
  readonly done: () => void;
}

/** Rounds of filling: the first gives each flow the smaller of its two equal shares, the others share what that left over. */
const rounds = 4;
/** A link with less than this share of its capacity left is full. */
const full = 0.01;

/**
 * Fluid flows over access links: each goes through its sender's uplink and its receiver's downlink, and all that share a
 * link share it fairly (max-min, approximated by a few rounds of filling). Rates are computed anew at every step; within
 * a step they stay, so what a flow leaves free when it ends is used from the next step on: the model errs on the slow side.
 */
export class Network {
  readonly #flows: Flow[] = [];
  /** Bytes per millisecond, by link: a node's uplink is 2n, its downlink 2n + 1. */
  readonly #capacity: number[] = [];
  #left = new Float64Array(0);
  #sharers = new Int32Array(0);
  #share = new Float64Array(0);

  /** Returns the node's number. Bytes per millisecond. */
  addNode(up: number, down: number): number {
    this.#capacity.push(up, down);
    const links = this.#capacity.length;
    if (links > this.#left.length) {
      this.#left = new Float64Array(links * 2);
      this.#sharers = new Int32Array(links * 2);
      this.#share = new Float64Array(links * 2);
    }
    return links / 2 - 1;
  }

  start(from: number, to: number, bytes: number, done: () => void): Flow {
    const flow = { from: from * 2, to: to * 2 + 1, remaining: bytes, rate: 0, place: this.#flows.length, done };
    this.#flows.push(flow);
    return flow;
  }

  stop(flow: Flow): void {
    const last = this.#flows.pop();
    if (last !== undefined && last !== flow) {
      last.place = flow.place;
      this.#flows[flow.place] = last;
    }
    flow.place = -1;
  }

  /** Gives every flow its rate for the next `duration` ms, and names those that end meanwhile with the time from now. */
  step(duration: number, ends: (flow: Flow, after: number) => void): void {
    this.#fill();
    for (const flow of this.#flows) {
      const bytes = flow.rate * duration;
      if (bytes >= flow.remaining) ends(flow, flow.remaining / flow.rate);
      else flow.remaining -= bytes;
    }
  }

  #fill(): void {
    const links = this.#capacity.length;
    for (let link = 0; link < links; link += 1) this.#left[link] = this.#capacity[link] ?? 0;
    for (const flow of this.#flows) flow.rate = 0;
    for (let round = 0; round < rounds; round += 1) {
      this.#computeShares();
      for (const flow of this.#flows) {
        const rate = Math.min(this.#share[flow.from] ?? 0, this.#share[flow.to] ?? 0);
        if (rate === 0) continue;
        flow.rate += rate;
        this.#left[flow.from] = (this.#left[flow.from] ?? 0) - rate;
        this.#left[flow.to] = (this.#left[flow.to] ?? 0) - rate;
      }
    }
  }

  /** What each link has left for each flow that can still grow; 0 once it is full. */
  #computeShares(): void {
    const links = this.#capacity.length;
    for (let link = 0; link < links; link += 1) {
      const left = this.#left[link] ?? 0;
      this.#share[link] = left > full * (this.#capacity[link] ?? 0) ? left : 0;
      this.#sharers[link] = 0;
    }
    for (const { from, to } of this.#flows) {
      if (this.#share[from] === 0 || this.#share[to] === 0) continue;
      this.#sharers[from] = (this.#sharers[from] ?? 0) + 1;
      this.#sharers[to] = (this.#sharers[to] ?? 0) + 1;
    }
    for (let link = 0; link < links; link += 1) {
      const sharers = this.#sharers[link] ?? 0;
      if (sharers > 0) this.#share[link] = (this.#share[link] ?? 0) / sharers;
    }
  }
}
