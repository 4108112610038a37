import assert from "node:assert/strict";
import test from "node:test";

import { Extremes, gallop, Greatest, lowerBound } from "./js/pyramid.js";

// Numbers without a pattern, the same each time.
function* numbers(seed, below) {
  for (let state = seed; ; ) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    yield Math.floor((state / 2 ** 32) * below);
  }
}

function take(source, count) {
  return Float64Array.from({ length: count }, () => source.next().value);
}

test("the greatest of any stretch is what a look at each element finds", () => {
  for (const size of [1, 2, 15, 16, 17, 255, 256, 257, 4097, 10000]) {
    const values = take(numbers(size, size), size);
    const greatest = new Greatest(values);
    const ends = numbers(7, size + 1);
    for (let attempt = 0; attempt < 300; attempt++) {
      const [i, j] = [ends.next().value, ends.next().value].sort((a, b) => a - b);
      if (i === j) continue;
      const place = greatest.of(i, j);
      assert.ok(i <= place && place < j, `${place} is not in ${i} .. ${j}`);
      assert.equal(values[place], Math.max(...values.subarray(i, j)));
    }
  }
});

test("low and high are the least and the greatest of a stretch", () => {
  const values = take(numbers(3, 1000), 2000);
  const extremes = new Extremes(values);
  for (const [i, j] of [[0, 2000], [0, 1], [1999, 2000], [5, 40], [16, 32], [15, 1985]]) {
    extremes.look(i, j);
    assert.deepEqual([extremes.low, extremes.high], [Math.min(...values.subarray(i, j)), Math.max(...values.subarray(i, j))]);
  }
});

const firstNotBelow = (values, limit) => {
  const place = values.findIndex((value) => value >= limit);
  return place < 0 ? values.length : place;
};

test("a bound is the first place not below the limit, wherever the search begins before it", () => {
  const values = take(numbers(5, 50), 100).sort();
  for (let limit = -1; limit <= 51; limit += 0.5) {
    const expected = firstNotBelow(values, limit);
    assert.equal(lowerBound(values, limit), expected);
    for (const from of [0, expected >> 1, expected]) assert.equal(gallop(values, limit, from), expected);
  }
  assert.equal(lowerBound([], 1), 0);
  assert.equal(gallop(new Float64Array(0), 1, 0), 0);
});
