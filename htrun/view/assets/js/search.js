// Finds events by name, duration, thread, and the values of arguments.
//
// A query consists of words separated by spaces. All words must match. A word is a part of a name, or a condition such
// as `size>=4096`, `kind=READ`, `dur>10us` or `thread=worker`. If a span matches, the match is its begin event. The
// arguments of a span are those of both its events.

const CONDITION = /^([A-Za-z_]\w*)(<=|>=|!=|==|=|<|>)(.+)$/;
const DURATION = /^(\d+(?:\.\d+)?)(ns|us|µs|ms|s)?$/;
const UNITS = { ns: 1, us: 1e3, µs: 1e3, ms: 1e6, s: 1e9 };
const COMPARE = {
  "=": (a, b) => a == b, // eslint-disable-line eqeqeq -- a BigInt may equal a Number
  "!=": (a, b) => a != b, // eslint-disable-line eqeqeq
  "<": (a, b) => a < b,
  "<=": (a, b) => a <= b,
  ">": (a, b) => a > b,
  ">=": (a, b) => a >= b,
};

// The result of a search. `events`: the numbers of the matches, in order; `has`: returns whether an event is a match.
export class Found {
  constructor(trace, fits) {
    this.bits = new Uint8Array(trace.count);
    let count = 0;
    for (let event = 0; event < trace.count; event++) {
      // The end of a span matches if the begin of the span matches.
      if (trace.spanOf[event] < -1 || !fits(event)) continue;
      this.bits[event] = 1;
      count++;
    }
    this.events = new Uint32Array(count);
    for (let event = 0, at = 0; at < count; event++) if (this.bits[event]) this.events[at++] = event;
  }

  has(event) {
    return this.bits[event] === 1;
  }
}

// The events that match `query`; null if `query` is empty. If `query` is invalid, throws an Error with an explanation.
export async function search(trace, query) {
  const words = query.split(/\s+/).filter(Boolean);
  if (!words.length) return null;
  const tests = await Promise.all(words.map((word) => testOf(trace, word)));
  return new Found(trace, (event) => tests.every((test) => test(event)));
}

async function testOf(trace, word) {
  const match = CONDITION.exec(word);
  if (!match) {
    const part = word.toLowerCase();
    const named = trace.names.map((name) => name.toLowerCase().includes(part));
    return (event) => named[trace.nameOf(event)];
  }
  const [, name, operator, text] = match;
  const compare = COMPARE[operator === "==" ? "=" : operator];
  switch (name) {
    case "dur":
      return durations(trace, compare, text);
    case "thread":
      return threads(trace, operator, compare, text);
    default:
      return fields(trace, name, compare, text);
  }
}

function durations(trace, compare, text) {
  const match = DURATION.exec(text);
  if (!match) throw new Error(`${text} is not a duration: write 500ns, 10us, 1.5ms`);
  const wanted = Number(match[1]) * UNITS[match[2] ?? "ns"];
  return (event) => trace.spanOf[event] >= 0 && compare(trace.duration(trace.spanOf[event]), wanted);
}

function threads(trace, operator, compare, text) {
  const fits = trace.threads.map((thread) => {
    const same = thread.comm.toLowerCase().includes(text.toLowerCase()) || String(thread.tid) === text;
    return operator === "!=" ? !same : operator === "=" || operator === "==" ? same : compare(thread.tid, Number(text));
  });
  return (event) => fits[trace.thread[event]];
}

async function fields(trace, name, compare, text) {
  const tests = await Promise.all(
    trace.kinds.map(async (kind) => {
      const field = kind.fields.find((each) => each.name === name);
      return field ? valueTest(field, await trace.words(field), compare, text) : null;
    }),
  );
  if (tests.every((test) => test === null)) throw new Error(`no event has a field ${name}`);
  const one = (event) => tests[trace.kind[event]]?.(trace.rank[event]) ?? false;
  return (event) => one(event) || (trace.spanOf[event] >= 0 && one(trace.spanEnd[trace.spanOf[event]]));
}

function valueTest(field, words, compare, text) {
  if (field.type === "enum") {
    const labels = Object.entries(field.labels ?? {});
    const label = labels.find(([, each]) => each === text);
    const wanted = label ? BigInt(label[0]) : number(text);
    return (rank) => compare(words[rank], wanted);
  }
  const wanted = field.type === "bool" ? { true: 1, false: 0 }[text] ?? number(text) : number(text);
  if (field.type === "f64") {
    const values = new Float64Array(words.buffer);
    return (rank) => compare(values[rank], Number(wanted));
  }
  const values = field.type === "i64" ? new BigInt64Array(words.buffer) : words;
  return (rank) => compare(values[rank], wanted);
}

function number(text) {
  if (/^(0x[0-9a-f]+|-?\d+)$/i.test(text)) return BigInt(text);
  const value = Number(text);
  if (Number.isNaN(value)) throw new Error(`${text} is not a number`);
  return value;
}
