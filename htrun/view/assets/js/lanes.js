// Assigns each span a line of its track, so that no span covers another. It is the first line that is free when the
// span begins. A nested span is drawn below the span around it.

class Heap {
  constructor() {
    this.keys = [];
    this.values = [];
  }

  get size() {
    return this.keys.length;
  }

  push(key, value) {
    const { keys, values } = this;
    let at = keys.length;
    while (at > 0) {
      const up = (at - 1) >> 1;
      if (keys[up] <= key) break;
      keys[at] = keys[up];
      values[at] = values[up];
      at = up;
    }
    keys[at] = key;
    values[at] = value;
  }

  pop() {
    const { keys, values } = this;
    const top = values[0];
    const key = keys.pop();
    const value = values.pop();
    let at = 0;
    while (2 * at + 1 < keys.length) {
      let down = 2 * at + 1;
      if (down + 1 < keys.length && keys[down + 1] < keys[down]) down++;
      if (keys[down] >= key) break;
      keys[at] = keys[down];
      values[at] = values[down];
      at = down;
    }
    if (keys.length) {
      keys[at] = key;
      values[at] = value;
    }
    return top;
  }
}

// The line of each of the spans `order[0]`, `order[1]`, ..., and the number of lines. The spans are in the order in
// which they begin.
export function assignLanes(order, start, end) {
  const lanes = new Uint32Array(order.length);
  const busy = new Heap();
  const free = new Heap();
  let count = 0;
  for (let i = 0; i < order.length; i++) {
    const span = order[i];
    while (busy.size && busy.keys[0] <= start[span]) {
      const lane = busy.pop();
      free.push(lane, lane);
    }
    const lane = free.size ? free.pop() : count++;
    lanes[i] = lane;
    busy.push(end[span], lane);
  }
  return { lanes, count };
}
