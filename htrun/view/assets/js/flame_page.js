// The page "Flame graph": the time taken by nested spans, in the measured interval or in the whole trace.

import { make } from "./dom.js";
import { boxesOf, flameTree } from "./flame.js";
import { count, duration, percent } from "./format.js";
import { trappedSpans } from "./statistics.js";

const LINE = 20;
const LABELLED = 28;
const HINT = "Click on a box to see only what is in it.";

export class FlamePage {
  constructor(holder, state) {
    this.holder = holder;
    this.state = state;
    this.thread = null;
    this.boxes = [];
    this.made = null;
    this.build();
  }

  build() {
    const { trace } = this.state;
    this.about = make("p", { class: "about" });
    const threads = trace.threads.map((thread, number) => [`${thread.comm || "thread"} ${thread.tid}`, number]);
    const select = make("select", { "aria-label": "Of which threads" }, make("option", { value: "" }, "all threads"),
      ...threads.map(([text, number]) => make("option", { value: number }, text)));
    select.addEventListener("change", () => {
      this.thread = select.value === "" ? null : Number(select.value);
      this.show();
    });
    this.all = make("button", { type: "button", title: "Show all boxes again", click: () => this.choose(this.root) }, "all");
    this.canvas = make("canvas", { role: "img" });
    this.caption = make("p", { class: "caption", "aria-live": "off" }, HINT);
    this.canvas.addEventListener("pointermove", ({ offsetX, offsetY }) => this.over(this.at(offsetX, offsetY)));
    this.canvas.addEventListener("pointerleave", () => this.over(null));
    this.canvas.addEventListener("click", ({ offsetX, offsetY }) => {
      const box = this.at(offsetX, offsetY);
      if (box) this.choose(box.node);
    });
    this.holder.replaceChildren(
      make("div", { class: "row" }, this.about, threads.length > 1 ? select : null, this.all),
      make("div", { class: "flame" }, this.canvas),
      this.caption,
    );
  }

  // Compute the tree for the measured interval, and draw it. Does nothing while the page is hidden.
  show() {
    const { range, trace } = this.state;
    if (this.holder.hidden) return;
    const key = `${range?.begin} ${range?.end} ${this.thread}`;
    if (key !== this.made) {
      this.made = key;
      const [begin, end] = range ? [range.begin, range.end] : [0, trace.length + 1];
      this.root = flameTree(trace, begin, end, this.thread);
      this.top = this.root;
      // Spans in which an event trapped are not left out: such a span may contain all others.
      const trapped = trappedSpans(trace, begin, end, this.thread);
      this.about.textContent = (range
        ? `Time by nesting in the ${duration(end - begin)} that are measured`
        : "Time by nesting in the whole trace; drag over the timeline to measure a part of it")
        + (trapped ? `. With the traps in ${count(trapped)} hatched span${trapped > 1 ? "s" : ""}` : "");
    }
    this.draw();
  }

  choose(node) {
    this.top = node;
    this.draw();
  }

  draw() {
    if (this.holder.hidden || !this.root) return;
    const { canvas, root, top } = this;
    const { palette } = this.state;
    const ratio = devicePixelRatio || 1;
    const width = canvas.parentElement.clientWidth;
    this.boxes = root.children.length ? boxesOf(top, width) : [];
    const height = LINE * (1 + Math.max(0, ...this.boxes.map((box) => box.level)));
    canvas.style.height = `${height}px`;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    this.all.hidden = top === root;
    this.usual = root.children.length ? HINT : "No span of a thread lies here.";
    this.caption.textContent = this.usual;
    const most = root.children.map((node) => this.text(node)).slice(0, 5);
    canvas.setAttribute("aria-label", `Flame graph: ${most.join("; ") || this.usual}`);
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.font = `11px ${palette.font}`;
    context.textBaseline = "middle";
    const chosen = this.boxes.find((box) => box.node === top)?.level ?? 0;
    for (const box of this.boxes) this.box(context, box, chosen);
  }

  // `chosen`: the level of the chosen box. Boxes above this level are fainter.
  box(context, { node, level, left, width }, chosen) {
    const { palette } = this.state;
    const y = level * LINE;
    context.globalAlpha = level < chosen ? 0.55 : 1;
    context.fillStyle = node.parent ? palette.styles[node.name] : palette.line;
    context.fillRect(left, y, Math.max(1, width - 1), LINE - 1);
    context.globalAlpha = 1;
    if (width < LABELLED) return;
    context.fillStyle = node.parent ? palette.onSpan : palette.text;
    context.save();
    context.beginPath();
    context.rect(left, y, width - 6, LINE);
    context.clip();
    context.fillText(`${this.nameOf(node)}  ${duration(node.total)}`, left + 6, y + LINE / 2);
    context.restore();
  }

  nameOf(node) {
    return node.parent ? this.state.trace.names[node.name] : "all spans";
  }

  text(node) {
    const parts = [`${this.nameOf(node)}: ${duration(node.total)}`];
    if (node.parent) parts.push(`${percent(node.total / this.root.total)} of all spans`, `${duration(node.own)} in no other span`, `${count(node.count)} of them`);
    return parts.join(", ");
  }

  at(x, y) {
    const level = Math.floor(y / LINE);
    return this.boxes.find((box) => box.level === level && x >= box.left && x < box.left + box.width) ?? null;
  }

  over(box) {
    this.caption.textContent = box ? this.text(box.node) : this.usual;
    this.canvas.style.cursor = box ? "pointer" : "";
  }
}
