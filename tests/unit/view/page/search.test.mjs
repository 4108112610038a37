import assert from "node:assert/strict";
import test from "node:test";

import { search } from "./js/search.js";
import { made } from "./made.mjs";

const found = async (query) => {
  const result = await search(await made(), query);
  return result && [...result.events];
};

for (const [query, events] of [
  ["", null],
  ["  ", null],
  ["read", [0, 4]],
  ["RE", [0, 4]],
  ["write", [1, 7]],
  ["nothing", []],
  ["size>=4096", [0]],
  ["size<4096", [4, 6]],
  ["size==17", [4]],
  ["size!=17", [0, 6]],
  ["size=0x1000", [0]],
  ["result=-1", [0]],
  ["result<0", [0]],
  ["kind=DIRECT", [1]],
  ["kind=1", [1]],
  ["kind!=DIRECT", []],
  ["ratio>0.4", [5]],
  ["on=true", [5]],
  ["on=false", []],
  ["dur>10ns", [0]],
  ["dur>=10", [0, 1]],
  ["dur<=0.01us", [1]],
  ["thread=worker", [4, 5, 6, 7]],
  ["thread!=worker", [0, 1]],
  ["thread=11", [0, 1]],
  ["thread>11", [4, 5, 6, 7]],
  ["read size>20", [0]],
  ["read thread=worker", [4]],
]) {
  test(`what "${query}" finds`, async () => assert.deepEqual(await found(query), events));
}

test("the end of a span is found with its begin, and not by itself", async () => {
  const result = await search(await made(), "read");
  assert.deepEqual([result.has(0), result.has(3)], [true, false]);
});

for (const [query, message] of [
  ["dur>soon", /soon is not a duration/],
  ["size>many", /many is not a number/],
  ["colour=red", /no event has a field colour/],
]) {
  test(`what is wrong with "${query}"`, async () => assert.rejects(found(query), message));
}
