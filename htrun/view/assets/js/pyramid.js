// Levels of detail: summaries of sections of an array. With them, the time to draw a frame depends on the number of
// pixels, not on the number of events.

const SHIFT = 4;
const FAN = 1 << SHIFT;

// Finds the greatest of the elements i .. j-1.
export class Greatest {
  constructor(values) {
    this.values = values;
    this.levels = [];
    let below = null;
    let count = values.length;
    while (count > FAN) {
      const size = Math.ceil(count / FAN);
      const level = new Uint32Array(size);
      for (let block = 0; block < size; block++) {
        const end = Math.min((block + 1) * FAN, count);
        let best = below ? below[block * FAN] : block * FAN;
        for (let at = block * FAN + 1; at < end; at++) {
          const other = below ? below[at] : at;
          if (values[other] > values[best]) best = other;
        }
        level[block] = best;
      }
      this.levels.push(level);
      below = level;
      count = size;
    }
  }

  of(i, j) {
    const { values, levels } = this;
    let best = i;
    let level = -1;
    for (;;) {
      const above = levels[level + 1];
      const last = !above || j - i <= 2 * FAN;
      const head = last ? j : Math.min((i + FAN - 1) & ~(FAN - 1), j);
      const tail = last ? j : Math.max(j & ~(FAN - 1), head);
      const own = level < 0 ? null : levels[level];
      for (let at = i; at < head; at++) {
        const other = own ? own[at] : at;
        if (values[other] > values[best]) best = other;
      }
      for (let at = tail; at < j; at++) {
        const other = own ? own[at] : at;
        if (values[other] > values[best]) best = other;
      }
      if (head >= tail) return best;
      i = head >> SHIFT;
      j = tail >> SHIFT;
      level++;
    }
  }
}

// Finds the least and the greatest of the elements i .. j-1: `low` and `high` after a call of `look(i, j)`.
export class Extremes {
  constructor(values) {
    this.values = values;
    this.greatest = new Greatest(values);
    this.least = new Greatest(values.map((value) => -value));
    this.low = 0;
    this.high = 0;
  }

  look(i, j) {
    this.low = this.values[this.least.of(i, j)];
    this.high = this.values[this.greatest.of(i, j)];
  }
}

// The first index from `from` on whose value is at least `limit`, in a sorted array; `values.length` if there is none.
export function lowerBound(values, limit, from = 0, to = values.length) {
  while (from < to) {
    const middle = (from + to) >>> 1;
    if (values[middle] < limit) from = middle + 1;
    else to = middle;
  }
  return from;
}

// Like `lowerBound`, but faster if the index is near `from`: the time depends only on the distance.
export function gallop(values, limit, from) {
  let step = 1;
  let low = from;
  while (low + step < values.length && values[low + step] < limit) {
    low += step;
    step *= 2;
  }
  return lowerBound(values, limit, low, Math.min(low + step, values.length));
}
