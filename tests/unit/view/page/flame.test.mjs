// Time by nesting.

import assert from "node:assert/strict";
import { test } from "node:test";

import { boxesOf, flameTree } from "./js/flame.js";
import { READ, WRITE, made } from "./made.mjs";

const END = 1000;

// A trace of spans [thread, name, start, end], in the order of their starts.
function spansOf(...spans) {
  const column = (place) => spans.map((span) => span[place]);
  return {
    head: { spans: [{ across: false }, { across: false }, { across: true }] },
    threads: [{}, {}],
    spans: spans.length,
    thread: column(0),
    spanBegin: spans.map((_, span) => span),
    spanName: column(1),
    start: column(2),
    end: column(3),
  };
}

// A tree as lists: name, count, total, own time, children.
const listed = ({ name, count, total, own, children }) => [name, count, total, own, ...children.map(listed)];

test("a span is below the one around it", async () => {
  const root = flameTree(await made(), 0, END, null);
  assert.deepEqual(listed(root), [-1, 0, 30, 0, [READ, 1, 30, 20, [WRITE, 1, 10, 10]]]);
});

test("spans of one name at one place are one node", () => {
  const trace = spansOf([0, 0, 0, 100], [0, 1, 10, 20], [0, 1, 30, 60], [1, 0, 50, 100], [0, 1, 100, 110]);
  const within = [1, 2, 40, 40];
  assert.deepEqual(listed(flameTree(trace, 0, END, null)), [-1, 0, 160, 0, [0, 2, 150, 110, within], [1, 1, 10, 10]]);
  assert.deepEqual(listed(flameTree(trace, 0, END, 1)), [-1, 0, 50, 0, [0, 1, 50, 50]]);
});

test("only the measured time counts", () => {
  const trace = spansOf([0, 0, 0, 100], [0, 1, 10, 20], [0, 1, 30, 60], [0, 1, 90, 95]);
  assert.deepEqual(listed(flameTree(trace, 15, 50, null)), [-1, 0, 35, 0, [0, 1, 35, 10, [1, 2, 25, 25]]]);
  assert.deepEqual(listed(flameTree(trace, 500, 600, null)), [-1, 0, 0, 0]);
});

test("a span that overlaps another is not within it", () => {
  const trace = spansOf([0, 0, 0, 100], [0, 1, 10, 50], [0, 1, 40, 80], [0, 1, 45, 48]);
  const deep = [1, 1, 3, 3];
  assert.deepEqual(listed(flameTree(trace, 0, END, null)), [-1, 0, 100, 0, [0, 1, 100, 20, [1, 2, 80, 77, deep]]]);
});

test("spans with a key are left out", () => {
  assert.deepEqual(listed(flameTree(spansOf([0, 2, 0, 10], [0, 1, 2, 3]), 0, END, null)), [-1, 0, 1, 0, [1, 1, 1, 1]]);
});

test("boxes are as wide as their share", () => {
  const root = flameTree(spansOf([0, 0, 0, 60], [0, 1, 0, 30], [0, 1, 60, 100]), 0, END, null);
  const boxes = (top, least) => boxesOf(top, 200, least).map(({ node, level, left, width }) => [node.name, level, left, width]);
  assert.deepEqual(boxes(root), [[-1, 0, 0, 200], [0, 1, 0, 120], [1, 2, 0, 60], [1, 1, 120, 80]]);
  assert.deepEqual(boxes(root, 70), [[-1, 0, 0, 200], [0, 1, 0, 120], [1, 1, 120, 80]]);
  // What is around the chosen one takes all of the width.
  assert.deepEqual(boxes(root.children[0]), [[-1, 0, 0, 200], [0, 1, 0, 200], [1, 2, 0, 100]]);
});

test("a deep recursion is no problem", () => {
  const depth = 30_000;
  const root = flameTree(spansOf(...Array.from({ length: depth }, (_, level) => [0, 0, level, 2 * depth - level])), 0, 2 * depth, null);
  assert.equal(root.total, 2 * depth);
  const levels = boxesOf(root, 1000).map(({ level }) => level);
  assert.ok(Math.max(...levels) < 1000);
  let deepest = root;
  while (deepest.children.length) [deepest] = deepest.children;
  assert.equal(boxesOf(deepest, 1000).at(-1).node, deepest);
});

test("a trace without spans has no boxes but the root's", () => {
  const root = flameTree(spansOf(), 0, END, null);
  assert.deepEqual(boxesOf(root, 200).map(({ node }) => node), [root]);
});
