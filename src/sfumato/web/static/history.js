/** Undo and redo over snapshots of one image's marks. Snapshots are never changed in place. */
export class History {
  /** Steps of one group (an arrow key held down) within this time are one step. */
  static TOGETHER = 900; // milliseconds

  constructor(first) {
    this.past = [];
    this.present = first;
    this.future = [];
    this.group = null;
    this.when = 0;
  }

  /** Store a new state. `group` names what may be joined with the step before; null never is. */
  push(state, group = null, now = performance.now()) {
    const joined = group !== null && group === this.group && now - this.when < History.TOGETHER;
    if (!joined) this.past.push(this.present);
    this.present = state;
    this.future = [];
    this.group = group;
    this.when = now;
  }

  /** Step back; returns the state, or null where there is nothing to undo. */
  undo() {
    return this.#step(this.past, this.future);
  }

  redo() {
    return this.#step(this.future, this.past);
  }

  #step(from, to) {
    if (from.length === 0) return null;
    to.push(this.present);
    this.present = from.pop();
    this.group = null;
    return this.present;
  }
}
