// The lines of tracks. A line has items in order of time, and the data for drawing them at any zoom level.

import { Extremes, Greatest } from "./pyramid.js";

// The elements of `values` with the indices `items`. It uses a loop, since Float64Array.from with a function is several
// times slower.
function pick(values, items) {
  const picked = new Float64Array(items.length);
  for (let i = 0; i < items.length; i++) picked[i] = values[items[i]];
  return picked;
}

// Spans that do not overlap. `items`: their numbers. `busy`: for each span, the sum of the durations of the spans
// before it.
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

// A row that shows how many of the overlapping spans `items` are open at each time, like a counter. The `items` of the
// row are the numbers of the events that begin and end the spans.
export function densityRow(trace, items) {
  const events = new Uint32Array(2 * items.length);
  for (let i = 0; i < items.length; i++) {
    events[2 * i] = trace.spanBegin[items[i]];
    events[2 * i + 1] = trace.spanEnd[items[i]];
  }
  // Events are numbered in the order of time.
  events.sort();
  const values = new Float64Array(events.length);
  let open = 0;
  for (let i = 0; i < events.length; i++) {
    open += trace.spanOf[events[i]] >= 0 ? 1 : -1;
    values[i] = open;
  }
  const row = new CounterRow(trace, events, values, trace.spanName[items[0]]);
  row.density = true;
  return row;
}

// Approximately the spans of `items` that do not overlap with any longer span. The longest span is always among them,
// and they do not overlap each other. `items` are in the order in which they begin.
export function longestOf(trace, items) {
  const kept = [];
  for (const item of items) {
    const last = kept[kept.length - 1];
    if (last === undefined || trace.end[last] <= trace.start[item]) kept.push(item);
    else if (trace.duration(item) > trace.duration(last)) kept[kept.length - 1] = item;
  }
  return Uint32Array.from(kept);
}

// The values of one argument of a counter. `items`: the numbers of the counter's events.
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
