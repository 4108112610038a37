// One line of a track: its items in the order of time, and the data for drawing them at any zoom.

import { Extremes, Greatest } from "./pyramid.js";

// The elements of `values` with the indices `items`. (By a loop, since Float64Array.from with a function takes several
// times as long.)
function pick(values, items) {
  const picked = new Float64Array(items.length);
  for (let i = 0; i < items.length; i++) picked[i] = values[items[i]];
  return picked;
}

// Spans that do not overlap. `items`: their numbers; `busy`: for each, the sum of the durations of the spans before it.
export class SpanRow {
  constructor(trace, items) {
    this.kind = "spans";
    this.items = items;
    this.start = pick(trace.start, items);
    this.end = pick(trace.end, items);
    this.busy = new Float64Array(items.length + 1);
    const durations = new Float64Array(items.length);
    for (let i = 0; i < items.length; i++) {
      durations[i] = this.end[i] - this.start[i];
      this.busy[i + 1] = this.busy[i] + durations[i];
    }
    this.longest = new Greatest(durations);
  }
}

// Single events. `items`: their numbers.
export class InstantRow {
  constructor(trace, items) {
    this.kind = "instants";
    this.items = items;
    this.start = pick(trace.time, items);
    this.end = this.start;
  }
}

// One argument of a counter. `items`: the numbers of the counter's events.
export class CounterRow {
  constructor(trace, items, values, name) {
    this.kind = "counter";
    this.items = items;
    this.name = name;
    this.start = pick(trace.time, items);
    this.end = this.start;
    this.values = values;
    this.extremes = new Extremes(values);
    this.extremes.look(0, values.length);
    this.low = Math.min(0, this.extremes.low);
    this.high = Math.max(this.extremes.high, this.low + Number.MIN_VALUE);
  }
}
