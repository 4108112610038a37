// A trace as the page has it, without the packing of its columns.
//
// Thread 1 (main): begin read (0), begin write (1), end write (2), end read (3); thread 2 (worker): begin read (4), an
// instant (5), a counter (6), and an end of write that nothing began (7). Events are 10 ns apart. In write an event trapped.

import { Trace } from "./js/trace.js";

export const READ = 0, WRITE = 1;

const field = (name, type, words, labels) => ({ name, type, labels, column: { words } });
const KINDS = [
  { name: "read", phase: "begin", fields: [field("size", "u64", [4096n, 17n])] },
  { name: "read", phase: "end", fields: [field("result", "i64", [-1n])] },
  { name: "write", phase: "begin", fields: [field("kind", "enum", [1n], { 0: "PLAIN", 1: "DIRECT" })] },
  { name: "write", phase: "end", fields: [] },
  { name: "mark", phase: "instant", fields: [field("ratio", "f64", [0x3fe0000000000000n]), field("on", "bool", [1n])] },
  { name: "load", phase: "counter", fields: [field("size", "u64", [1n])] },
];
const EVENTS = [
  [0, 1], [2, 1], [3, 1], [1, 1], [0, 2], [4, 2], [5, 2], [3, 2],
];

// What takes the place of `Columns`: a column here is its numbers.
const columns = {
  numbers: async ({ numbers }, Type) => Type.from(numbers),
  words: async ({ words }) => BigUint64Array.from(words.map((word) => BigInt.asUintN(64, word))),
};

export function made() {
  const numbers = (values) => ({ numbers: values });
  return Trace.load({
    begin: "1700000000000000000",
    length: 70,
    threads: [{ tid: 1, comm: "main" }, { tid: 11, comm: "main" }, { tid: 22, comm: "Worker" }],
    kinds: KINDS,
    events: {
      time: numbers(EVENTS.map((_, event) => event * 10)),
      kind: numbers(EVENTS.map(([kind]) => kind)),
      thread: numbers(EVENTS.map(([, thread]) => thread)),
      site: numbers(EVENTS.map((_, event) => event + 100)),
    },
    spans: [
      { name: "read", begin: numbers([0]), end: numbers([3]), trapped: numbers([0]) },
      { name: "write", begin: numbers([1]), end: numbers([2]), trapped: numbers([1]) },
    ],
  }, columns);
}
