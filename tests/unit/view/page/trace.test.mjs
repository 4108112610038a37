import assert from "node:assert/strict";
import test from "node:test";

import { made, READ, WRITE } from "./made.mjs";

test("spans are numbered as they begin", async () => {
  const trace = await made();
  assert.equal(trace.spans, 2);
  assert.deepEqual([...trace.spanName], [READ, WRITE]);
  assert.deepEqual([...trace.spanBegin], [0, 1]);
  assert.deepEqual([...trace.spanEnd], [3, 2]);
  assert.deepEqual([trace.duration(0), trace.duration(1)], [30, 10]);
  assert.deepEqual([...trace.trapped], [0, 1]);
});

test("an event knows the span that it begins or ends", async () => {
  const trace = await made();
  assert.deepEqual([0, 1, 2, 3, 4, 5, 6, 7].map((event) => trace.spanAt(event)), [0, 1, 1, 0, -1, -1, -1, -1]);
});

test("names are of spans first, then of other events", async () => {
  const trace = await made();
  assert.deepEqual(trace.names, ["read", "write", "mark", "load"]);
  const names = [0, 1, 2, 3, 4, 5, 6, 7].map((event) => trace.names[trace.nameOf(event)]);
  assert.deepEqual(names, ["read", "write", "write", "read", "read", "mark", "load", "write"]);
});

test("only begins and ends without a partner are unpaired", async () => {
  const trace = await made();
  assert.deepEqual([0, 1, 2, 3, 4, 5, 6, 7].filter((event) => trace.unpaired(event)), [4, 7]);
});

test("arguments are those of the event among its kind", async () => {
  const trace = await made();
  const values = async (event) => (await trace.fields(event)).map(([field, word]) => [field.name, word]);
  assert.deepEqual(await values(0), [["size", 4096n]]);
  assert.deepEqual(await values(4), [["size", 17n]]);
  assert.deepEqual(await values(3), [["result", 0xffffffffffffffffn]]);
  assert.deepEqual(await values(7), []);
  assert.equal(await trace.site(5), 105);
});
