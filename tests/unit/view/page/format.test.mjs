import assert from "node:assert/strict";
import test from "node:test";

import { numberText } from "./js/details_page.js";
import { shareText } from "./js/format.js";

for (const [part, text] of [
  [0, "0.00%"], [0.0123, "1.23%"], [0.5, "50.0%"], [1, "100%"],
  [1.04, "1.0 at a time"], [9.94, "9.9 at a time"], [32.81, "33 at a time"],
]) {
  test(`a share of ${part} is ${text}`, () => assert.equal(shareText(part), text));
}

test("only threads of a machine are virtual processors", () => {
  assert.equal(numberText({ is_vcpu: true, ordinal: 2 }), "vCPU 2");
  assert.equal(numberText({ is_vcpu: false, ordinal: 0 }), "thread 0");
});
