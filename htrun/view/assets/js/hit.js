// Finds the item that is drawn at a point of the timeline, and the items next to it.

import { lowerBound } from "./pyramid.js";

const NEAR = 6;

// The item at a point (in CSS pixels of the timeline): { row, place, item, event }; null if there is no item.
export function hit(state, x, y) {
  const placed = state.layout.rowAt(y + state.scroll);
  if (!placed) return null;
  const { row } = placed;
  const time = state.viewport.time(x);
  const near = (row.kind === "instants" ? NEAR : 1.5) / state.viewport.scale;
  if (row.kind === "counter") {
    const place = lowerBound(row.start, time + Number.EPSILON) - 1;
    return place >= 0 ? target(state.trace, row, place) : null;
  }
  // The candidates are the last item that begins before the point, and the two items next to it.
  const first = lowerBound(row.end, time - near);
  let best = null;
  let distance = Infinity;
  for (let place = first; place < Math.min(first + 64, row.start.length) && row.start[place] <= time + near; place++) {
    const away = Math.max(row.start[place] - time, time - row.end[place], 0);
    if (away < distance) {
      best = place;
      distance = away;
    }
  }
  return best === null ? null : target(state.trace, row, best);
}

// `item`: the span or event; `event`: the event, or the event that begins the span.
export function target(trace, row, place) {
  const item = row.items[place];
  return { row, place, item, event: row.kind === "spans" ? trace.spanBegin[item] : item };
}

// The row in which `event` is shown; null if its process is collapsed.
export function find(state, event) {
  const { trace } = state;
  const span = trace.spanAt(event);
  for (const { row } of state.layout.rows) {
    if ((row.kind === "spans") !== (span >= 0)) continue;
    const wanted = span >= 0 ? span : event;
    const place = lowerBound(row.items, wanted);
    if (row.items[place] === wanted) return target(trace, row, place);
  }
  return null;
}

// The time at x. If the edge of a span or event in the row at y is only a few pixels away, the time of this edge.
export function snap(state, x, y) {
  const time = state.viewport.time(x);
  const placed = state.layout.rowAt(y + state.scroll);
  if (!placed || placed.row.kind === "counter") return time;
  const { start, end } = placed.row;
  const near = NEAR / state.viewport.scale;
  let best = time;
  let distance = near;
  for (const edges of start === end ? [start] : [start, end]) {
    const place = lowerBound(edges, time);
    for (const edge of [edges[place - 1], edges[place]]) {
      if (edge !== undefined && Math.abs(edge - time) < distance) {
        best = edge;
        distance = Math.abs(edge - time);
      }
    }
  }
  return best;
}
