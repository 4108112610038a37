// Lines of tracks.

import assert from "node:assert/strict";
import { test } from "node:test";

import { densityRow, longestOf } from "./js/rows.js";

// A trace of spans [begin, end] that are pairs of the numbers of their events, which are 10 ns apart.
function spansOf(...spans) {
  const count = 2 * spans.length;
  const spanOf = new Int32Array(count);
  spans.forEach(([begin, end], span) => {
    spanOf[begin] = span;
    spanOf[end] = -2 - span;
  });
  const time = Float64Array.from({ length: count }, (_, event) => event * 10);
  const start = spans.map(([begin]) => time[begin]);
  const end = spans.map(([, last]) => time[last]);
  const [spanBegin, spanEnd] = [0, 1].map((place) => spans.map((span) => span[place]));
  return { time, spanOf, spanBegin, spanEnd, start, end, spanName: spans.map(() => 0), duration: (span) => end[span] - start[span] };
}

test("a density is the number of open spans", () => {
  const row = densityRow(spansOf([0, 5], [1, 2], [3, 7], [4, 6]), Uint32Array.of(0, 1, 2, 3));
  assert.deepEqual([...row.start], [0, 10, 20, 30, 40, 50, 60, 70]);
  assert.deepEqual([...row.values], [1, 2, 1, 2, 3, 2, 1, 0]);
  assert.deepEqual([row.low, row.high], [0, 3]);
});

test("a density is of the chosen spans only", () => {
  const row = densityRow(spansOf([0, 5], [1, 2], [3, 7], [4, 6]), Uint32Array.of(1, 2));
  assert.deepEqual([[...row.start], [...row.values]], [[10, 20, 30, 70], [1, 0, 1, 0]]);
});

test("the longest spans do not overlap", () => {
  assert.deepEqual([...longestOf(spansOf([0, 3], [1, 9], [2, 4], [5, 6], [7, 8]), Uint32Array.of(0, 1, 2, 3, 4))], [1]);
  assert.deepEqual([...longestOf(spansOf([0, 1], [2, 3], [4, 6], [5, 7]), Uint32Array.of(0, 1, 2, 3))], [0, 1, 2]);
});

test("the longest of all is always there", () => {
  let seed = 1;
  const random = (below) => {
    seed = (seed * 48271) % 2147483647;
    return seed % below;
  };
  for (let round = 0; round < 50; round++) {
    const events = Array.from({ length: 60 }, (_, event) => event);
    for (let i = 59; i > 0; i--) {
      const j = random(i + 1);
      [events[i], events[j]] = [events[j], events[i]];
    }
    const spans = Array.from({ length: 30 }, (_, span) => [events[2 * span], events[2 * span + 1]].sort((a, b) => a - b)).sort(([a], [b]) => a - b);
    const trace = spansOf(...spans);
    const kept = [...longestOf(trace, Uint32Array.from(spans.keys()))];
    const longest = Math.max(...spans.map((_, span) => trace.duration(span)));
    assert.equal(Math.max(...kept.map((span) => trace.duration(span))), longest);
    for (let i = 1; i < kept.length; i++) assert.ok(trace.end[kept[i - 1]] <= trace.start[kept[i]]);
  }
});
