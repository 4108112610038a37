// Statistics of an interval of time, by name: of spans that begin in it, of the intervals between single events, and of
// counters.

import { lowerBound } from "./pyramid.js";

// With fewer values, a high percentile would be determined by a few values.
const ENOUGH = { p90: 10, p99: 100, p999: 1000 };

// `begin`, `end`: the interval in ns. `thread`: the number of the only thread that is included; null: all threads.
// Returns the rows of a table: each is a result of `summary` with a `name` and `what`, which is "span", "interval" or
// "counter". Like `hypertrace stat`, it leaves out spans in which an event trapped.
export function statistics(trace, begin, end, thread) {
  return [...spans(trace, begin, end, thread), ...singles(trace, begin, end, thread)];
}

// `values`: sorted.
export function summary(values) {
  const count = values.length;
  let total = 0;
  for (let i = 0; i < count; i++) total += values[i];
  const at = (share) => quantile(values, share);
  return {
    count,
    values,
    total,
    mean: count ? total / count : NaN,
    median: at(0.5),
    min: count ? values[0] : NaN,
    max: count ? values[count - 1] : NaN,
    p90: count >= ENOUGH.p90 ? at(0.9) : NaN,
    p99: count >= ENOUGH.p99 ? at(0.99) : NaN,
    p999: count >= ENOUGH.p999 ? at(0.999) : NaN,
  };
}

// Interpolates between the two nearest values, as numpy does.
export function quantile(values, share) {
  if (!values.length) return NaN;
  const place = share * (values.length - 1);
  const low = Math.floor(place);
  const high = Math.min(low + 1, values.length - 1);
  return values[low] + (values[high] - values[low]) * (place - low);
}

function spans(trace, begin, end, thread) {
  const from = lowerBound(trace.start, begin);
  const to = lowerBound(trace.start, end, from);
  const fits = (span) => thread === null || trace.thread[trace.spanBegin[span]] === thread;
  const kept = (span) => fits(span) && !trace.trapped[span];
  const lists = collect(trace.names.length, from, to, (span) => (kept(span) ? trace.spanName[span] : -1), (span) =>
    trace.end[span] - trace.start[span],
  );
  return rows(lists, "span");
}

// The number of spans that are left out because an event in them trapped.
export function trappedSpans(trace, begin, end, thread) {
  const from = lowerBound(trace.start, begin);
  const to = lowerBound(trace.start, end, from);
  let found = 0;
  for (let span = from; span < to; span++) {
    if (trace.trapped[span] && (thread === null || trace.thread[trace.spanBegin[span]] === thread)) found++;
  }
  return found;
}

// For single events, the intervals to the next event with the same name in the same thread; for counters, the number of
// samples.
function singles(trace, begin, end, thread) {
  const from = lowerBound(trace.time, begin);
  const to = lowerBound(trace.time, end, from);
  const counts = trace.kinds.map((kind) => kind.phase === "counter");
  const seen = new Uint32Array(trace.names.length);
  const last = new Map();
  const interval = new Float64Array(to - from).fill(-1);
  for (let event = from; event < to; event++) {
    if (trace.spanOf[event] !== -1 || (thread !== null && trace.thread[event] !== thread)) continue;
    const name = trace.kindName[trace.kind[event]];
    seen[name]++;
    if (counts[trace.kind[event]]) continue;
    const key = name * trace.threads.length + trace.thread[event];
    const before = last.get(key);
    if (before !== undefined) interval[event - from] = trace.time[event] - before;
    last.set(key, trace.time[event]);
  }
  const lists = collect(trace.names.length, from, to, (event) =>
    interval[event - from] >= 0 ? trace.kindName[trace.kind[event]] : -1, (event) => interval[event - from],
  );
  const kinds = new Map(trace.kinds.map((kind, number) => [trace.kindName[number], kind.phase]));
  return [...seen.entries()]
    .filter(([, count]) => count)
    .map(([name, count]) => ({
      name,
      what: kinds.get(name) === "counter" ? "counter" : "interval",
      ...summary(lists[name]),
      count,
      total: NaN,
    }));
}

function rows(lists, what) {
  return lists.map((values, name) => ({ name, what, ...summary(values) })).filter((row) => row.count);
}

// The sorted values of the indices from .. to-1, by name. `nameOf`: returns the name of an index; -1 excludes the
// index.
function collect(names, from, to, nameOf, valueOf) {
  const sizes = new Uint32Array(names);
  for (let i = from; i < to; i++) {
    const name = nameOf(i);
    if (name >= 0) sizes[name]++;
  }
  const lists = Array.from(sizes, (size) => new Float64Array(size));
  sizes.fill(0);
  for (let i = from; i < to; i++) {
    const name = nameOf(i);
    if (name >= 0) lists[name][sizes[name]++] = valueOf(i);
  }
  for (const list of lists) list.sort();
  return lists;
}
