// The page "Statistics": a table of names for the measured interval or the whole trace, and the histogram of a name.

import { make, swatch } from "./dom.js";
import { count, duration, shareText } from "./format.js";
import { Histogram, bins } from "./histogram.js";
import { statistics, trappedSpans } from "./statistics.js";

const COLUMNS = [
  ["name", "name", "Name"],
  ["count", "count", "How many"],
  ["total", "total", "The total time taken"],
  ["share", "share", "The share of the interval that is taken; if spans overlap, their mean number at a time"],
  ["mean", "mean", "Mean"],
  ["median", "median", "Half are shorter"],
  ["p90", "p90", "90% are shorter; from 10 values on"],
  ["p99", "p99", "99% are shorter; from 100 values on"],
  ["min", "min", "Shortest"],
  ["max", "max", "Longest"],
];
const WORDS = { span: "", interval: "between events", counter: "counter" };

// Spans and single events may have the same name: a begin without its end is a single event.
const keyOf = (row) => `${row.what} ${row.name}`;

export class StatisticsPage {
  // `actions`: an object with the function `search(name)`.
  constructor(holder, state, actions) {
    this.holder = holder;
    this.state = state;
    this.actions = actions;
    this.order = { key: "total", down: true };
    this.key = null;
    this.thread = null;
    this.build();
  }

  build() {
    this.about = make("p", { class: "about", id: "about" });
    const threads = this.state.trace.threads.map((thread, number) => [`${thread.comm || "thread"} ${thread.tid}`, number]);
    const select = make("select", { "aria-label": "Of which threads" }, make("option", { value: "" }, "all threads"),
      ...threads.map(([text, number]) => make("option", { value: number }, text)));
    select.addEventListener("change", () => {
      this.thread = select.value === "" ? null : Number(select.value);
      this.update();
    });
    const heads = COLUMNS.map(([key, text, title]) =>
      make("th", { scope: "col", title, class: key }, make("button", { type: "button", click: () => this.sort(key) }, text)),
    );
    this.heads = heads;
    this.body = make("tbody");
    this.canvas = make("canvas", { role: "img" });
    this.caption = make("p", { class: "caption", "aria-live": "off" });
    this.title = make("h2");
    this.histogram = new Histogram(this.canvas, this.state.palette, (text) => {
      this.caption.textContent = text || this.usual;
    });
    this.holder.replaceChildren(
      make("div", { class: "split" },
        make("div", { class: "left" },
          make("div", { class: "row" }, this.about, threads.length > 1 ? select : null),
          make("div", { class: "scroll" }, make("table", { class: "statistics" }, make("thead", {}, make("tr", {}, ...heads)), this.body)),
        ),
        make("div", { class: "right" }, this.title, this.canvas, this.caption),
      ),
    );
  }

  // Compute the statistics again, for the measured interval or, if no interval is measured, for the whole trace.
  update() {
    const { state } = this;
    const { range, trace } = state;
    const [begin, end] = range ? [range.begin, range.end] : [0, trace.length + 1];
    this.span = Math.max(end - begin, 1);
    this.rows = statistics(trace, begin, end, this.thread);
    for (const row of this.rows) row.share = row.total / this.span;
    const trapped = trappedSpans(trace, begin, end, this.thread);
    this.about.textContent = (range
      ? `What begins in the ${duration(end - begin)} that are measured`
      : "The whole trace; drag over the timeline to measure a part of it")
      + (trapped ? `. Without ${count(trapped)} hatched span${trapped > 1 ? "s" : ""}, in which an event trapped` : "");
    if (!this.rows.some((row) => keyOf(row) === this.key)) this.key = null;
    this.draw();
  }

  sort(key) {
    this.order = { key, down: this.order.key === key ? !this.order.down : key !== "name" };
    this.draw();
  }

  draw() {
    const { key, down } = this.order;
    const { trace, palette } = this.state;
    const of = (row) => (key === "name" ? trace.names[row.name] : Number.isNaN(row[key]) ? -1 : row[key]);
    const sign = down ? -1 : 1;
    this.rows.sort((a, b) => sign * (of(a) < of(b) ? -1 : of(a) > of(b) ? 1 : 0) || b.count - a.count);
    this.heads.forEach((head, place) => {
      head.setAttribute("aria-sort", COLUMNS[place][0] === key ? (down ? "descending" : "ascending") : "none");
    });
    this.key ??= this.rows.filter((row) => row.values.length).map(keyOf)[0] ?? null;
    this.body.replaceChildren(...this.rows.map((row) => this.line(row, trace, palette)));
    this.show();
  }

  line(row, trace, palette) {
    const chosen = keyOf(row) === this.key;
    const choose = () => {
      this.key = keyOf(row);
      this.draw();
    };
    const name = make("button", { type: "button", class: "pick", "aria-pressed": chosen, click: choose },
      swatch(palette, row.name), make("span", {}, trace.names[row.name]),
      WORDS[row.what] ? make("small", {}, WORDS[row.what]) : null);
    const find = make("button", { type: "button", class: "find", title: "Find them in the timeline", "aria-label": `Find ${trace.names[row.name]} in the timeline`,
      click: () => this.actions.search(trace.names[row.name]) }, "⌕");
    const times = ["mean", "median", "p90", "p99", "min", "max"].map((key) => make("td", { class: key }, duration(row[key])));
    const share = Number.isNaN(row.share) ? "" : shareText(row.share);
    const line = make("tr", { class: chosen ? "chosen" : "" },
      make("th", { scope: "row" }, make("div", { class: "names" }, name, find)), make("td", {}, count(row.count)), make("td", {}, duration(row.total)), make("td", {}, share), ...times);
    line.addEventListener("click", (event) => {
      if (!event.target.closest("button")) choose();
    });
    return line;
  }

  show() {
    const { trace, palette, chosen } = this.state;
    const row = this.rows.find((each) => keyOf(each) === this.key);
    if (!row) {
      this.title.textContent = "";
      this.usual = this.caption.textContent = "Nothing begins here.";
      this.histogram.show(null);
      return;
    }
    const name = trace.names[row.name];
    const what = row.what === "span" ? "duration" : "interval";
    this.title.replaceChildren(swatch(palette, row.name), `${name}: ${what}s`);
    this.usual = row.values.length
      ? `${count(row.values.length)} ${what}${row.values.length > 1 ? "s" : ""}; median ${duration(row.median)}, longest ${duration(row.max)}`
      : row.what === "counter" ? "A counter has no durations; its values are in the timeline." : "There is no second one of a thread.";
    this.caption.textContent = this.usual;
    this.canvas.setAttribute("aria-label", `Histogram of ${name}: ${this.usual}`);
    const span = chosen?.row.kind === "spans" ? chosen.item : -1;
    const marked = span >= 0 && trace.spanName[span] === row.name ? trace.duration(span) : null;
    this.histogram.show(bins(row.values, palette.styles[row.name]), marked);
  }
}
