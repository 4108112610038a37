import assert from "node:assert/strict";
import test from "node:test";

import { statistics, trappedSpans } from "./js/statistics.js";
import { made, READ } from "./made.mjs";

const spans = (rows) => rows.filter(({ what }) => what === "span").map(({ name, count, total }) => [name, count, total]);

test("spans in which an event trapped are counted and left out", async () => {
  const trace = await made();
  assert.deepEqual(spans(statistics(trace, 0, 100, null)), [[READ, 1, 30]]);
  assert.equal(trappedSpans(trace, 0, 100, null), 1);
});

test("only those of the interval and of the thread are counted", async () => {
  const trace = await made();
  assert.equal(trappedSpans(trace, 0, 10, null), 0);
  assert.equal(trappedSpans(trace, 10, 11, null), 1);
  assert.equal(trappedSpans(trace, 0, 100, 1), 1);
  assert.equal(trappedSpans(trace, 0, 100, 2), 0);
});
