// The page "Details": the properties of the selected span or event.

import { meanwhile, within } from "./around.js";
import { make, swatch } from "./dom.js";
import { count, duration, exact, percent, value, wallClock } from "./format.js";
import { Histogram, bins } from "./histogram.js";
import { lowerBound } from "./pyramid.js";

// The number of names within a span, and of spans that overlap with it, that are listed.
const MOST = 8;

export class DetailsPage {
  // `actions`: an object with the functions `step(by)`, `fit()` and `open(event)`.
  constructor(holder, state, actions) {
    this.holder = holder;
    this.state = state;
    this.actions = actions;
    this.clear();
  }

  clear() {
    this.holder.replaceChildren(make("p", { class: "empty" },
      "Click a span or an event in the timeline, or go from one to the next with , and . (comma and full stop)."));
  }

  // Show the item `chosen` (see hit.js), or a hint if it is null.
  async show(chosen) {
    if (!chosen) {
      this.clear();
      return;
    }
    const { trace } = this.state;
    const span = chosen.row.kind === "spans" ? chosen.item : -1;
    const parts = [facts("Facts", span >= 0 ? this.spanFacts(span) : this.eventFacts(chosen))];
    if (span >= 0) parts.push(...this.around(span));
    parts.push(...(await this.arguments(span >= 0 ? [trace.spanBegin[span], trace.spanEnd[span]] : [chosen.event])));
    // Another item may have been selected while the arguments were unpacked.
    if (this.state.chosen !== chosen) return;
    this.holder.replaceChildren(this.head(chosen, span), make("div", { class: "cards" }, ...parts));
    this.distribution(span);
  }

  // Cards with the spans within a span, the spans that overlap with it, and its rank among the spans of the same name.
  around(span) {
    const { trace } = this.state;
    const inside = within(trace, span);
    const children = inside.names.slice(0, MOST).map(({ name, count: number, total }) =>
      [trace.names[name], `${duration(total)}${number > 1 ? `, ${count(number)} of them` : ""}`]);
    if (inside.names.length > MOST) children.push(["others", `${count(inside.names.length - MOST)} more names`]);
    const cards = [];
    if (children.length) cards.push(facts("Within it", [...children, ["in none of them", duration(inside.own)]]));
    const others = meanwhile(trace, span, MOST);
    if (others.length) cards.push(facts("Meanwhile", others.map(({ span: other, time }) => this.overlap(other, time))));
    this.canvas = make("canvas", { role: "img", "aria-label": `Where it is among the others of its name: longer than ${this.rank(span)}` });
    this.caption = make("p", { class: "caption" });
    cards.push(make("section", { class: "card wide" }, make("h3", {}, "Among the others of its name"), this.canvas, this.caption));
    return cards;
  }

  overlap(span, time) {
    const { trace } = this.state;
    const event = trace.spanBegin[span];
    const name = trace.names[trace.spanName[span]];
    const open = make("button", { type: "button", class: "link", title: "Select it", click: () => this.actions.open(event) }, name);
    const thread = trace.threads[trace.thread[event]];
    return [open, `${duration(time)} of ${duration(trace.duration(span))}, ${thread.comm || "thread"} ${thread.tid}`];
  }

  // The histogram of all spans with the same name, drawn when the page has a size.
  distribution(span) {
    if (span < 0) return;
    const { trace, palette } = this.state;
    const number = this.durations(span).length;
    const usual = `${count(number)} duration${number > 1 ? "s" : ""}; this one is longer than ${this.rank(span)}`;
    const histogram = new Histogram(this.canvas, palette, (text) => {
      this.caption.textContent = text || usual;
    });
    this.caption.textContent = usual;
    this.histogram = histogram;
    histogram.show(bins(this.durations(span), palette.styles[trace.spanName[span]]), trace.duration(span));
  }

  // Draw the histogram again, after the page was hidden or its size has changed.
  draw() {
    if (!this.holder.hidden) this.histogram?.draw();
  }

  head(chosen, span) {
    const { trace, palette } = this.state;
    const name = trace.nameOf(chosen.event);
    const button = (text, title, click) => make("button", { type: "button", title, click }, text);
    return make("div", { class: "row head" },
      make("h2", {}, swatch(palette, name), trace.names[name]),
      span >= 0 ? make("span", { class: "big" }, duration(trace.duration(span))) : null,
      make("span", { class: "grow" }),
      button("‹ before", "Event before it on this line (,)", () => this.actions.step(-1)),
      button("next ›", "Next event of this line (.)", () => this.actions.step(1)),
      button("zoom to it", "Zoom to it (F)", () => this.actions.fit()),
    );
  }

  spanFacts(span) {
    const { trace } = this.state;
    const [first, last] = [trace.spanBegin[span], trace.spanEnd[span]];
    const threads = [trace.thread[first], trace.thread[last]].map((number) => threadText(trace.threads[number]));
    return [
      ["duration", exact(trace.duration(span))],
      ["longer than", this.rank(span)],
      ...(trace.trapped[span] ? [["includes", "a trap: the first event of a call site or a thread"]] : []),
      ["begins", `${duration(trace.start[span])} after the first event`],
      ["date", wallClock(trace.begin, trace.start[span])],
      ["thread", threads[0]],
      ...(threads[0] === threads[1] ? [] : [["ends in thread", threads[1]]]),
      ["events", `${count(first + 1)} to ${count(last + 1)}`],
    ];
  }

  // The share of shorter spans among the spans with the same name.
  rank(span) {
    const all = this.durations(span);
    return `${percent(lowerBound(all, this.state.trace.duration(span)) / all.length)} of ${count(all.length)}`;
  }

  // The sorted durations of all spans with the same name.
  durations(span) {
    const { trace } = this.state;
    this.sorted ??= new Map();
    const name = trace.spanName[span];
    if (!this.sorted.has(name)) {
      const all = [];
      for (let i = 0; i < trace.spans; i++) if (trace.spanName[i] === name) all.push(i);
      // As in the statistics, spans in which an event trapped are left out if there are other spans.
      const kept = all.filter((each) => !trace.trapped[each]);
      this.sorted.set(name, Float64Array.from(kept.length ? kept : all, (each) => trace.duration(each)).sort());
    }
    return this.sorted.get(name);
  }

  eventFacts({ event, row, place }) {
    const { trace } = this.state;
    const before = place > 0 ? duration(row.start[place] - row.start[place - 1]) : null;
    const { phase } = trace.kinds[trace.kind[event]];
    return [
      ["time", `${duration(trace.time[event])} after the first event`],
      ["date", wallClock(trace.begin, trace.time[event])],
      ...(before ? [["since the one before", before]] : []),
      ["thread", threadText(trace.threads[trace.thread[event]])],
      ["event", count(event + 1)],
      ...(trace.unpaired(event) ? [["unpaired", `a ${phase} without its ${phase === "begin" ? "end" : "begin"}`]] : []),
    ];
  }

  async arguments(events) {
    const { trace } = this.state;
    const titles = events.length > 1 ? ["Begin", "End"] : ["Arguments"];
    return Promise.all(
      events.map(async (event, place) => {
        const rows = (await trace.fields(event)).map(([field, word]) => [field.name, value(field, word)]);
        rows.push(["site", String(await trace.site(event))]);
        return facts(titles[place], rows);
      }),
    );
  }
}

export function threadText(thread) {
  return `${thread.comm || "?"} (${thread.tid}, process ${thread.pid}, ${numberText(thread)})`;
}

// The number of a thread in its process. In a machine, the number of the thread's virtual processor.
export function numberText(thread) {
  return `${thread.is_vcpu ? "vCPU" : "thread"} ${thread.ordinal}`;
}

// A card with a table of names and values.
export function facts(title, rows) {
  const lines = rows.map(([name, text]) => make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, text)));
  return make("section", { class: "card" }, make("h3", {}, title), make("table", {}, make("tbody", {}, ...lines)));
}
