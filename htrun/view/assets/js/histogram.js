// Computes and draws histograms. Bins have equal widths, or logarithmic widths if the values differ by orders of
// magnitude.

import { count, duration, percent } from "./format.js";
import { lowerBound } from "./pyramid.js";
import { quantile } from "./statistics.js";

const BINS = 64;
const WIDE = 30;
// The number of bins if all values are equal.
const ALONE = 9;
const PAD = { left: 8, right: 8, top: 18, bottom: 20 };
const MARKS = [
  [0.5, "median"],
  [0.9, "p90"],
  [0.99, "p99"],
];

// Divide sorted values into bins, in the form that `Histogram` draws.
export function bins(values, color) {
  if (!values.length) return null;
  const { edges, logarithmic } = edgesOf(values[0], values[values.length - 1]);
  const marks = values[0] < values[values.length - 1]
    ? MARKS.filter(([share]) => values.length >= 1 / (1 - share)).map(([share, name]) => [quantile(values, share), name])
    : [];
  return { edges, logarithmic, marks, series: [{ counts: binned(values, edges), color, title: "" }] };
}

function edgesOf(low, high) {
  const logarithmic = low > 0 && high / low > WIDE;
  if (high <= low) {
    // A single bar in the middle, whose width is 1/50 of the value.
    const width = Math.max(low / 50, 1);
    return { edges: Array.from({ length: ALONE + 1 }, (_, i) => low + (i - ALONE / 2) * width), logarithmic: false };
  }
  const edges = Array.from({ length: BINS + 1 }, (_, i) => {
    const share = i / BINS;
    return logarithmic ? low * (high / low) ** share : low + (high - low) * share;
  });
  // The greatest value must not be excluded by rounding.
  edges[BINS] = high;
  return { edges, logarithmic };
}

function binned(values, edges) {
  const counts = [];
  let from = 0;
  for (let bin = 0; bin + 1 < edges.length; bin++) {
    const last = bin + 2 === edges.length;
    const to = last ? values.length : lowerBound(values, edges[bin + 1], from);
    counts.push(to - from);
    from = to;
  }
  return counts;
}

export class Histogram {
  // `tell`: called with the text for the bin under the pointer, or "" if there is none.
  constructor(canvas, palette, tell) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.palette = palette;
    this.tell = tell;
    this.shown = null;
    canvas.addEventListener("pointermove", (event) => this.over(event.offsetX));
    canvas.addEventListener("pointerleave", () => this.tell(""));
  }

  // `shown`: the result of `bins`, for one series or for several series that are drawn over each other; null: nothing
  // is drawn. `marked`: a value to mark.
  show(shown, marked = null) {
    this.shown = shown;
    this.marked = marked;
    this.draw();
  }

  draw() {
    const { canvas, context, palette, shown } = this;
    const ratio = devicePixelRatio || 1;
    this.width = canvas.clientWidth;
    this.height = canvas.clientHeight;
    canvas.width = Math.round(this.width * ratio);
    canvas.height = Math.round(this.height * ratio);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    if (!shown || this.width < 60) return;
    const { edges, series } = shown;
    // Several series may have different numbers of values, so the share of values in each bin is drawn.
    this.shares = series.map(({ counts }) => {
      const total = counts.reduce((sum, each) => sum + each, 0);
      return counts.map((each) => each / Math.max(total, 1));
    });
    const most = Math.max(...this.shares.flat());
    const bottom = this.height - PAD.bottom;
    context.font = `10px ${palette.font}`;
    context.textBaseline = "alphabetic";
    series.forEach(({ color }, place) => {
      context.fillStyle = color;
      context.globalAlpha = series.length > 1 ? 0.62 : 1;
      this.shares[place].forEach((share, bin) => {
        if (!share) return;
        const left = this.x(edges[bin]);
        const size = Math.max(1.5, (share / most) * (bottom - PAD.top));
        context.fillRect(left, bottom - size, Math.max(1, this.x(edges[bin + 1]) - left - 1), size);
      });
    });
    context.globalAlpha = 1;
    this.axis(bottom);
    this.marks(bottom);
  }

  x(value) {
    const { edges, logarithmic } = this.shown;
    const [low, high] = [edges[0], edges[edges.length - 1]];
    const share = logarithmic ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
    return PAD.left + share * (this.width - PAD.left - PAD.right);
  }

  axis(bottom) {
    const { context, palette } = this;
    const { edges } = this.shown;
    context.fillStyle = palette.line;
    context.fillRect(PAD.left, bottom, this.width - PAD.left - PAD.right, 1);
    context.fillStyle = palette.dim;
    const ticks = this.width > 420 ? 4 : 2;
    for (let i = 0; i <= ticks; i++) {
      const edge = edges[Math.round((i / ticks) * (edges.length - 1))];
      context.textAlign = i === 0 ? "left" : i === ticks ? "right" : "center";
      context.fillText(duration(Math.max(0, edge)), this.x(edge), bottom + 13);
    }
    context.textAlign = "left";
  }

  marks(bottom) {
    const { context, palette, marked } = this;
    const { edges, marks } = this.shown;
    let free = 0;
    for (const [value, name] of marks) {
      const x = this.x(value);
      context.fillStyle = palette.dim;
      context.globalAlpha = 0.5;
      context.fillRect(Math.round(x), PAD.top - 6, 1, bottom - PAD.top + 6);
      context.globalAlpha = 1;
      const width = context.measureText(name).width;
      if (x < free || x + width + 4 > this.width) continue;
      context.fillText(name, x + 3, PAD.top - 8);
      free = x + width + 10;
    }
    if (marked === null || marked < edges[0] || marked > edges[edges.length - 1]) return;
    context.fillStyle = palette.text;
    const x = this.x(marked);
    context.beginPath();
    context.moveTo(x, bottom + 1);
    context.lineTo(x - 4, bottom + 7);
    context.lineTo(x + 4, bottom + 7);
    context.fill();
  }

  over(x) {
    if (!this.shown) return;
    const { edges, series } = this.shown;
    const bin = edges.findIndex((edge, place) => place + 1 < edges.length && x >= this.x(edge) && x < this.x(edges[place + 1]));
    if (bin < 0) {
      this.tell("");
      return;
    }
    const texts = series.map(({ title, counts }, place) =>
      `${title ? `${title}: ` : ""}${count(counts[bin])} (${percent(this.shares[place][bin])})`,
    );
    this.tell(`${duration(Math.max(0, edges[bin]))} to ${duration(edges[bin + 1])}: ${texts.join(", ")}`);
  }
}
