/** Things that happen at a time, in the order of their times and, at one time, of their scheduling. A binary heap. */
export class EventQueue {
  #times = new Float64Array(1024);
  #serials = new Float64Array(1024);
  readonly #events: (() => void)[] = [];
  #serial = 0;

  at(time: number, event: () => void): void {
    let place = this.#events.length;
    if (place === this.#times.length) this.#grow();
    this.#events.push(event);
    const serial = this.#serial;
    this.#serial += 1;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if ((this.#times[parent] ?? 0) <= time) break;
      this.#move(parent, place);
      place = parent;
    }
    this.#put(place, time, serial, event);
  }

  /** Runs what happens before `end`; `advance` is told the time of each. */
  runUntil(end: number, advance: (time: number) => void): void {
    for (let event = this.#events[0]; event !== undefined && (this.#times[0] ?? 0) < end; event = this.#events[0]) {
      advance(this.#times[0] ?? 0);
      this.#removeFirst();
      event();
    }
  }

  #removeFirst(): void {
    const event = this.#events.pop();
    const size = this.#events.length;
    if (event === undefined || size === 0) return;
    const time = this.#times[size] ?? 0;
    const serial = this.#serials[size] ?? 0;
    let place = 0;
    for (let child = 1; child < size; child = place * 2 + 1) {
      if (child + 1 < size && this.#isBefore(child + 1, child)) child += 1;
      const childTime = this.#times[child] ?? 0;
      if (time < childTime || (time === childTime && serial < (this.#serials[child] ?? 0))) break;
      this.#move(child, place);
      place = child;
    }
    this.#put(place, time, serial, event);
  }

  #isBefore(one: number, other: number): boolean {
    const difference = (this.#times[one] ?? 0) - (this.#times[other] ?? 0);
    return difference < 0 || (difference === 0 && (this.#serials[one] ?? 0) < (this.#serials[other] ?? 0));
  }

  #move(from: number, to: number): void {
    const event = this.#events[from];
    if (event !== undefined) this.#put(to, this.#times[from] ?? 0, this.#serials[from] ?? 0, event);
  }

  #put(place: number, time: number, serial: number, event: () => void): void {
    this.#times[place] = time;
    this.#serials[place] = serial;
    this.#events[place] = event;
  }

  #grow(): void {
    const times = new Float64Array(this.#times.length * 2);
    times.set(this.#times);
    this.#times = times;
    const serials = new Float64Array(this.#serials.length * 2);
    serials.set(this.#serials);
    this.#serials = serials;
  }
}
