// The page "Comparison": two traces side by side, with the results of `hypertrace compare`.

import { make } from "./dom.js";
import { count, duration } from "./format.js";
import { Histogram } from "./histogram.js";

const HEADS = ["name", "n A", "n B", "median A", "median B", "B / A", "verdict"];

// The interval of a few very different spans may be unbounded. Such a bound is shown as infinity.
const ratio = (value) => (value < 1000 ? value.toFixed(3) : "∞");

export class ComparisonPage {
  constructor(holder, state, comparison) {
    this.holder = holder;
    this.state = state;
    this.comparison = comparison;
    this.name = comparison.rows[0]?.name ?? null;
    this.build();
  }

  build() {
    const { a, b, rows, remarks } = this.comparison;
    this.canvas = make("canvas", { role: "img" });
    this.caption = make("p", { class: "caption" });
    this.title = make("h2");
    this.lines = new Map(rows.map((row) => [row.name, this.line(row)]));
    this.histogram = new Histogram(this.canvas, this.state.palette, (text) => {
      this.caption.textContent = text || this.usual;
    });
    this.holder.replaceChildren(make("div", { class: "split" },
      make("div", { class: "left" },
        make("p", { class: "about" }, make("b", { class: "a" }, "A"), ` ${a}   `, make("b", { class: "b" }, "B"), ` ${b}`),
        ...remarks.map((text) => make("p", { class: "remark" }, text)),
        make("div", { class: "scroll" }, make("table", { class: "statistics" },
          make("thead", {}, make("tr", {}, ...HEADS.map((text) => make("th", { scope: "col" }, text)))),
          make("tbody", {}, ...this.lines.values()))),
      ),
      make("div", { class: "right" }, this.title, this.canvas, this.caption),
    ));
  }

  line(row) {
    const choose = () => {
      this.name = row.name;
      this.draw();
    };
    const line = make("tr", {},
      make("th", { scope: "row" }, make("button", { type: "button", class: "pick", click: choose }, row.name)),
      ...[count(row.counts[0]), count(row.counts[1]), duration(row.medians[0]), duration(row.medians[1]),
        row.ratio === null ? "" : ratio(row.ratio),
      ].map((text) => make("td", {}, text)),
      make("td", { class: `verdict ${row.verdict}` }, row.verdict));
    line.addEventListener("click", choose);
    return line;
  }

  draw() {
    const { palette } = this.state;
    const { rows } = this.comparison;
    for (const [name, line] of this.lines) {
      line.classList.toggle("chosen", name === this.name);
      line.querySelector("button").setAttribute("aria-pressed", name === this.name);
    }
    const row = rows.find((each) => each.name === this.name);
    if (!row) {
      this.usual = this.caption.textContent = "The two traces have no spans.";
      return;
    }
    this.title.textContent = `${row.name}: durations`;
    this.usual = `median ${duration(row.medians[0])} in A, ${duration(row.medians[1])} in B: ${row.verdict}`;
    this.caption.textContent = this.usual;
    this.canvas.setAttribute("aria-label", `Histograms of ${row.name}: ${this.usual}`);
    const series = ["A", "B"].map((title, place) => ({ title, counts: row.histogram.counts[place], color: [palette.accent, palette.second][place] }));
    this.histogram.show(row.histogram.edges.length > 1 ? { ...row.histogram, marks: [], series } : null);
  }
}
