// What is within a span, and what overlaps it.

import assert from "node:assert/strict";
import { test } from "node:test";

import { meanwhile, within } from "./js/around.js";

// A trace of spans [thread, name, start, end], in the order of their starts; name 2 has a key.
function spansOf(...spans) {
  const column = (place) => spans.map((span) => span[place]);
  return {
    head: { spans: [{ across: false }, { across: false }, { across: true }] },
    spans: spans.length,
    thread: column(0),
    spanBegin: spans.map((_, span) => span),
    spanEnd: spans.map((_, span) => span),
    spanName: column(1),
    start: column(2),
    end: column(3),
    duration: (span) => spans[span][3] - spans[span][2],
  };
}

test("children are those directly within, by name", () => {
  const trace = spansOf([0, 0, 0, 100], [0, 1, 10, 40], [0, 0, 20, 30], [1, 1, 25, 80], [0, 1, 40, 45], [0, 0, 50, 99], [0, 1, 100, 120]);
  assert.deepEqual(within(trace, 0), { names: [{ name: 0, count: 1, total: 49 }, { name: 1, count: 2, total: 35 }], own: 16 });
  assert.deepEqual(within(trace, 1), { names: [{ name: 0, count: 1, total: 10 }], own: 20 });
  assert.deepEqual(within(trace, 2), { names: [], own: 10 });
});

test("what only begins within a span is not within it", () => {
  assert.deepEqual(within(spansOf([0, 0, 0, 100], [0, 1, 50, 150], [0, 2, 60, 70]), 0), { names: [], own: 100 });
});

test("a span with a key has nothing within it", () => {
  assert.deepEqual(within(spansOf([0, 2, 0, 100], [0, 1, 50, 60]), 0), { names: [], own: 100 });
});

test("overlaps are those of other threads, by the time that is shared", () => {
  const trace = spansOf([1, 0, 0, 30], [0, 1, 5, 200], [0, 0, 10, 50], [0, 2, 20, 30], [1, 1, 45, 90], [1, 0, 50, 60], [2, 0, 0, 10]);
  assert.deepEqual(meanwhile(trace, 2, 9), [{ span: 0, time: 20 }, { span: 3, time: 10 }, { span: 4, time: 5 }]);
  assert.deepEqual(meanwhile(trace, 2, 1), [{ span: 0, time: 20 }]);
});

test("the longest of many are found", () => {
  const many = Array.from({ length: 500 }, (_, place) => [1, 0, 1, 1 + ((place * 37) % 501)]);
  const found = meanwhile(spansOf([0, 0, 0, 1000], ...many), 0, 5);
  assert.deepEqual(found.map(({ time }) => time), [500, 499, 498, 497, 496]);
});
