// The fragment of the page's address.

import assert from "node:assert/strict";
import { test } from "node:test";

import { fromFragment, toFragment } from "./js/fragment.js";

test("a view is the same after a round trip", () => {
  for (const view of [
    {},
    { shown: { begin: -3, end: 12345678901234 } },
    { shown: { begin: 0.125, end: 20.5 }, event: 0 },
    { measured: { begin: 10, end: 10 }, query: "dur>10us a&b=c #%", page: "details" },
    { event: 4711, scroll: 80, closed: [100, 4294967295], unfolded: [0, 7] },
  ]) {
    assert.deepEqual(fromFragment(`#${toFragment(view)}`), view);
  }
});

test("what is as usual is not in it", () => {
  assert.equal(toFragment({ shown: null, event: null, query: "", scroll: 0, closed: [] }), "");
});

test("times have as many digits as matter", () => {
  assert.equal(toFragment({ shown: { begin: 1.00049, end: 5000.7 } }), "t=1..5001");
  assert.equal(toFragment({ shown: { begin: 1.00049, end: 21.5 } }), "t=1..21.5");
});

test("what is not understood is left out", () => {
  for (const text of ["", "#", "#t", "#t=5..3", "#t=a..b", "#t=1", "#e=0", "#e=-1", "#e=1.5", "#y=x", "#c=1,,2", "#q=%", "#q=", "#z=1",
    "#t=1..1e9", "#__proto__=1", "#constructor=2"]) {
    assert.deepEqual(fromFragment(text), {});
  }
  assert.deepEqual(fromFragment("#t=1..2&e=oh&y=3"), { shown: { begin: 1, end: 2 }, scroll: 3 });
});
