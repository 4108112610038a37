// Finds the spans within a span, and the spans of other threads that overlap with it.

// The spans of the same thread directly within `span`, by name: { names, own }. `names`: [{ name, count, total }], the
// greatest total first. `own`: the part of the time of `span` that is not in any of these spans.
export function within(trace, span) {
  const across = trace.head.spans.map((each) => each.across);
  const thread = trace.thread[trace.spanBegin[span]];
  const [begin, end] = [trace.start[span], trace.end[span]];
  const byName = new Map();
  let free = begin;
  let own = end - begin;
  if (across[trace.spanName[span]] || thread !== trace.thread[trace.spanEnd[span]]) return { names: [], own };
  for (let other = span + 1; other < trace.spans && trace.start[other] < end; other++) {
    const name = trace.spanName[other];
    // A span that begins before the end of the last child is within this child.
    if (trace.start[other] < free || trace.end[other] > end || across[name]) continue;
    if (trace.thread[trace.spanBegin[other]] !== thread) continue;
    free = trace.end[other];
    const found = byName.get(name) ?? { name, count: 0, total: 0 };
    found.count++;
    found.total += trace.duration(other);
    own -= trace.duration(other);
    byName.set(name, found);
  }
  return { names: [...byName.values()].sort((one, another) => another.total - one.total), own };
}

// The spans of other threads and across threads that overlap with `span`: [{ span, time }], the longest overlap first.
// At most `most` spans are returned.
export function meanwhile(trace, span, most) {
  const thread = trace.thread[trace.spanBegin[span]];
  const [begin, end] = [trace.start[span], trace.end[span]];
  const across = trace.head.spans.map((each) => each.across);
  const found = [];
  let least = 0;
  for (let other = 0; other < trace.spans && trace.start[other] < end; other++) {
    if (trace.end[other] <= begin || other === span) continue;
    if (trace.thread[trace.spanBegin[other]] === thread && !across[trace.spanName[other]]) continue;
    const time = Math.min(end, trace.end[other]) - Math.max(begin, trace.start[other]);
    if (time <= least) continue;
    found.push({ span: other, time });
    if (found.length < 2 * most) continue;
    found.sort((one, another) => another.time - one.time);
    found.length = most;
    least = found[most - 1].time;
  }
  return found.sort((one, another) => another.time - one.time).slice(0, most);
}
