// The tracks and their contents. A process has tracks for its threads, its spans across threads, and its counters.

import { numberText } from "./details_page.js";
import { assignLanes } from "./lanes.js";
import { CounterRow, InstantRow, SpanRow, densityRow, longestOf } from "./rows.js";

// A track of spans with a key is folded if it needs more lines than this.
const MANY = 8;

// The processes, each with its tracks: { title, detail, rows, kind }.
export async function tracksOf(trace) {
  const processes = new Map();
  const processOf = (pid) => {
    if (!processes.has(pid)) processes.set(pid, { pid, title: `${pid}`, tracks: [], open: true });
    return processes.get(pid);
  };
  trace.threads.forEach((thread, number) => {
    const process = processOf(thread.pid);
    if (thread.tid === thread.pid || process.title === `${thread.pid}`) process.title = thread.comm || `${thread.pid}`;
    thread.number = number;
  });
  const spans = grouped(trackOfSpans(trace));
  const events = grouped(trackOfEvents(trace));
  const busiest = [...trace.threads].sort((one, other) => one.pid - other.pid || one.ordinal - other.ordinal || one.tid - other.tid);
  for (const thread of busiest) {
    const rows = [];
    const own = events.get(thread.number);
    if (own) rows.push(new InstantRow(trace, own));
    rows.push(...spanRows(trace, spans.get(thread.number)));
    if (!rows.length) continue;
    processOf(thread.pid).tracks.push({
      kind: "thread",
      title: thread.comm || `thread ${thread.tid}`,
      detail: `${numberText(thread)} · ${thread.tid}`,
      rows,
    });
  }
  for (const [key, items] of spans) {
    if (key < trace.threads.length) continue;
    const process = processOf(trace.threads[trace.thread[trace.spanBegin[items[0]]]].pid);
    process.tracks.push(acrossTrack(trace, items));
  }
  for (const track of await counters(trace)) processOf(track.pid).tracks.push(track);
  const used = [...processes.values()].filter((process) => process.tracks.length);
  let id = 0;
  for (const process of used) for (const track of process.tracks) track.id = id++;
  return used;
}

// The track of spans across threads. If many spans are open at the same time, the track is folded: it shows the number
// of open spans, and above it the longest of the spans. `lanes` are the lines of the track when it is `unfolded`.
function acrossTrack(trace, items) {
  const title = trace.names[trace.spanName[items[0]]];
  const rows = spanRows(trace, items);
  const track = { kind: "across", title, detail: "across threads", rows };
  if (rows.length <= MANY) return track;
  return {
    ...track,
    lanes: rows,
    folded: [new SpanRow(trace, longestOf(trace, items)), densityRow(trace, items)],
    unfolded: false,
    get rows() {
      return this.unfolded ? this.lanes : this.folded;
    },
  };
}

// The indices of `keys`, grouped by key; each group is in order. `keys`: numbers of 0 or more; -1 excludes an index.
function grouped(keys) {
  let most = -1;
  for (let i = 0; i < keys.length; i++) if (keys[i] > most) most = keys[i];
  const sizes = new Uint32Array(most + 1);
  for (let i = 0; i < keys.length; i++) if (keys[i] >= 0) sizes[keys[i]]++;
  const groups = Array.from(sizes, (size) => new Uint32Array(size));
  sizes.fill(0);
  for (let i = 0; i < keys.length; i++) if (keys[i] >= 0) groups[keys[i]][sizes[keys[i]]++] = i;
  return new Map([...groups.entries()].filter(([, group]) => group.length));
}

// A span is on the track of its thread. A span across threads is on the track of its name, in the process in which it
// begins.
function trackOfSpans(trace) {
  const keys = new Int32Array(trace.spans);
  const across = trace.head.spans.map((span) => span.across);
  const pids = [...new Set(trace.threads.map((thread) => thread.pid))];
  const process = trace.threads.map((thread) => pids.indexOf(thread.pid));
  for (let span = 0; span < trace.spans; span++) {
    const thread = trace.thread[trace.spanBegin[span]];
    const name = trace.spanName[span];
    keys[span] = across[name] ? trace.threads.length + name * pids.length + process[thread] : thread;
  }
  return keys;
}

// An event is on the track of its thread, unless it is a sample of a counter, or the begin or end of a span.
function trackOfEvents(trace) {
  const keys = new Int32Array(trace.count);
  const counts = trace.kinds.map((kind) => kind.phase === "counter");
  for (let event = 0; event < trace.count; event++) {
    keys[event] = trace.spanOf[event] !== -1 || counts[trace.kind[event]] ? -1 : trace.thread[event];
  }
  return keys;
}

function spanRows(trace, order) {
  if (!order) return [];
  const { lanes, count } = assignLanes(order, trace.start, trace.end);
  if (count === 1) return [new SpanRow(trace, order)];
  const groups = grouped(lanes);
  return Array.from({ length: count }, (_, lane) => new SpanRow(trace, groups.get(lane).map((place) => order[place])));
}

async function counters(trace) {
  const tracks = [];
  for (const [number, kind] of trace.kinds.entries()) {
    if (kind.phase !== "counter") continue;
    const pids = [...new Set(trace.threads.map((thread) => thread.pid))];
    const process = trace.threads.map((thread) => pids.indexOf(thread.pid));
    const keys = new Int32Array(trace.count).fill(-1);
    for (let event = 0; event < trace.count; event++) {
      if (trace.kind[event] === number) keys[event] = process[trace.thread[event]];
    }
    const groups = grouped(keys);
    for (const field of kind.fields) {
      const values = asNumbers(field, await trace.words(field));
      for (const [key, items] of groups) {
        const own = Float64Array.from(items, (event) => values[trace.rank[event]]);
        const title = kind.fields.length > 1 ? `${kind.name}.${field.name}` : kind.name;
        const row = new CounterRow(trace, items, own, trace.kindName[number]);
        tracks.push({ kind: "counter", title, detail: kind.fields.length > 1 ? "counter" : field.name, rows: [row], pid: pids[key] });
      }
    }
  }
  return tracks;
}

// The words of a field as JavaScript numbers.
export function asNumbers(field, words) {
  if (field.type === "f64") return new Float64Array(words.buffer);
  const integers = field.type === "i64" ? new BigInt64Array(words.buffer) : words;
  return Float64Array.from(integers, Number);
}
