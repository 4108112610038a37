// Draws the tracks: their background, spans, single events and counters, and the selected item.

import { duration, plain } from "./format.js";
import { Picture } from "./picture.js";
import { lowerBound } from "./pyramid.js";
import { Strip, dimmed } from "./strip.js";

const LARGE = 9;
const LABELLED = 28;
const APART = 7;
const TEXT = 11;
const HATCH = 6;

export class Timeline extends Picture {
  constructor(canvas, state) {
    super(canvas, state);
    this.strip = new Strip();
    this.widths = new Map();
  }

  draw() {
    const { context, state, ratio } = this;
    const { layout, viewport, scroll } = state;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.font = `${TEXT}px ${state.palette.font}`;
    context.textBaseline = "middle";
    this.background();
    const rows = layout.within(layout.rows, scroll, scroll + this.height);
    this.strip.clear(this.canvas.width, rows.length);
    const large = rows.map((placed, line) => this.collect(placed, line, viewport.begin, viewport.scale * ratio));
    this.strip.done();
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.imageSmoothingEnabled = false;
    rows.forEach(({ row, top, height }, line) => {
      if (row.kind === "counter") return;
      const y = Math.round((top - scroll + 1) * ratio);
      this.strip.draw(context, line, 0, y, Math.max(1, Math.round((height - (height > 10 ? 3 : 1)) * ratio)));
    });
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    rows.forEach((placed, line) => this.front(placed, large[line]));
    this.range();
    this.chosen();
  }

  background() {
    const { context, state } = this;
    const { layout, palette, scroll } = state;
    context.fillStyle = palette.surface;
    context.fillRect(0, 0, this.width, this.height);
    context.fillStyle = palette.line;
    for (const x of state.ticks.xs) context.fillRect(Math.round(x), 0, 1, this.height);
    for (const { top, height } of layout.within(layout.headers, scroll, scroll + this.height)) {
      context.fillStyle = palette.band;
      context.fillRect(0, top - scroll, this.width, height);
    }
    context.fillStyle = palette.line;
    for (const { top, height } of layout.within(layout.tracks, scroll, scroll + this.height)) {
      context.fillRect(0, top + height - scroll - 1, this.width, 1);
    }
    // The time before the first event and after the last event has a different background.
    context.fillStyle = palette.band;
    const first = state.viewport.x(0);
    const last = state.viewport.x(state.trace.length);
    if (first > 0) context.fillRect(0, 0, first, this.height);
    if (last < this.width) context.fillRect(last, 0, this.width - last, this.height);
  }

  // Paint small items on the strip. Return the large items: their indices in the row, and their positions in pixels.
  collect({ row }, line, begin, scale) {
    const large = [];
    const { trace, palette, found } = this.state;
    const { words } = palette;
    const take = (place, left, right) => large.push(place, left / this.ratio, right / this.ratio);
    if (row.kind === "spans") {
      const look = (span) => {
        const word = words[trace.spanName[span]];
        return found && !found.has(trace.spanBegin[span]) ? dimmed(word) : word;
      };
      this.strip.spans(line, row, begin, scale, look, take, LARGE * this.ratio);
    } else if (row.kind === "instants") {
      const look = (event) => {
        const word = words[trace.kindName[trace.kind[event]]];
        return found && !found.has(event) ? dimmed(word) : word;
      };
      this.strip.instants(line, row, begin, scale, look, take, APART * this.ratio);
    }
    return large;
  }

  front({ row, top, height }, large) {
    const y = top - this.state.scroll + 1;
    if (row.kind === "spans") this.spans(row, large, y, height - (height > 10 ? 3 : 1));
    else if (row.kind === "instants") this.instants(row, large, y, height - 3);
    else this.counter(row, y, height - 4);
  }

  spans(row, large, y, height) {
    const { context, state } = this;
    const { trace, palette, found } = state;
    for (let i = 0; i < large.length; i += 3) {
      const span = row.items[large[i]];
      const left = Math.max(-8, large[i + 1]);
      const right = Math.min(this.width + 8, large[i + 2] - 0.6);
      const faint = found && !found.has(trace.spanBegin[span]);
      context.globalAlpha = faint ? 0.18 : 1;
      context.fillStyle = palette.styles[trace.spanName[span]];
      context.beginPath();
      context.roundRect(left, y, Math.max(1, right - left), height, height > 10 ? 3 : 1);
      context.fill();
      if (trace.trapped[span]) {
        context.fillStyle = this.hatching();
        context.fill();
      }
      if (right - Math.max(0, left) >= LABELLED && height > 10) this.label(span, Math.max(0, left), right, y + height / 2);
    }
    context.globalAlpha = 1;
  }

  // Diagonal lines, for spans in which an event trapped.
  hatching() {
    if (!this.hatch) {
      const tile = document.createElement("canvas");
      tile.width = tile.height = HATCH;
      const context = tile.getContext("2d");
      context.strokeStyle = this.state.palette.onSpan;
      context.globalAlpha = 0.28;
      context.lineWidth = 1.5;
      for (const shift of [-HATCH, 0, HATCH]) {
        context.moveTo(shift - 1, HATCH + 1);
        context.lineTo(shift + HATCH + 1, -1);
      }
      context.stroke();
      this.hatch = this.context.createPattern(tile, "repeat");
    }
    return this.hatch;
  }

  label(span, left, right, y) {
    const { context, state } = this;
    const { trace, palette } = state;
    const room = Math.min(right, this.width) - left - 12;
    const name = this.fitting(trace.names[trace.spanName[span]], room);
    if (!name) return;
    context.fillStyle = palette.onSpan;
    context.fillText(name, left + 6, y + 0.5);
    const used = this.measure(name) + 8;
    const time = duration(trace.duration(span));
    if (this.measure(time) > room - used) return;
    context.globalAlpha *= 0.62;
    context.fillText(time, left + 6 + used, y + 0.5);
    context.globalAlpha /= 0.62;
  }

  instants(row, large, y, height) {
    const { context, state } = this;
    const { trace, palette, found } = state;
    const middle = y + height / 2;
    for (let i = 0; i < large.length; i += 3) {
      const event = row.items[large[i]];
      const name = trace.kindName[trace.kind[event]];
      const x = large[i + 1];
      context.globalAlpha = found && !found.has(event) ? 0.25 : 1;
      context.fillStyle = palette.styles[name];
      context.beginPath();
      context.moveTo(x, middle - 5);
      context.lineTo(x + 4.5, middle);
      context.lineTo(x, middle + 5);
      context.lineTo(x - 4.5, middle);
      context.fill();
      if (trace.unpaired(event)) this.hollow(x, middle);
      const text = large[i + 2] > 60 ? this.fitting(trace.names[name], large[i + 2] - 18) : "";
      if (!text) continue;
      context.fillStyle = palette.dim;
      context.fillText(text, x + 8, middle + 0.5);
    }
    context.globalAlpha = 1;
  }

  hollow(x, y) {
    this.context.fillStyle = this.state.palette.surface;
    this.context.fillRect(x - 1.5, y - 1.5, 3, 3);
  }

  counter(row, y, height) {
    const { context, state } = this;
    const { viewport, palette } = state;
    const { start, values, extremes, low, high } = row;
    const place = (value) => y + height - ((value - low) / (high - low)) * (height - 4);
    const color = palette.styles[row.name];
    let i = Math.max(0, lowerBound(start, viewport.begin) - 1);
    const line = new Path2D();
    const area = new Path2D();
    const base = place(Math.max(low, 0));
    let level = null;
    let x = 0;
    while (i < values.length && start[i] <= viewport.end) {
      x = viewport.x(start[i]);
      const j = Math.max(i + 1, lowerBound(start, viewport.time(Math.floor(x) + 1), i + 1));
      extremes.look(i, j);
      const next = j < values.length ? Math.min(this.width, viewport.x(start[j])) : viewport.x(state.trace.length);
      const last = place(values[j - 1]);
      if (level === null) line.moveTo(Math.max(x, -1), place(values[i]));
      else line.lineTo(x, level);
      line.lineTo(Math.max(x, -1), place(extremes.low));
      line.lineTo(Math.max(x, -1), place(extremes.high));
      line.lineTo(Math.max(x, -1), last);
      line.lineTo(next, last);
      area.rect(Math.max(x, -1), Math.min(last, base), Math.max(0.5, next - Math.max(x, -1)), Math.abs(base - last));
      level = last;
      i = j;
    }
    context.fillStyle = color;
    context.globalAlpha = 0.28;
    context.fill(area);
    context.globalAlpha = 1;
    context.strokeStyle = color;
    context.lineWidth = 1.25;
    context.lineJoin = "round";
    context.stroke(line);
    context.fillStyle = palette.dim;
    context.fillText(plain(high), 5, y + 7);
  }

  // The measured interval.
  range() {
    const { context, state } = this;
    const { range, viewport, palette } = state;
    if (!range) return;
    const left = viewport.x(range.begin);
    const right = viewport.x(range.end);
    context.fillStyle = palette.range;
    context.fillRect(left, 0, right - left, this.height);
    context.fillStyle = palette.rangeEdge;
    context.fillRect(Math.round(left), 0, 1, this.height);
    context.fillRect(Math.round(right), 0, 1, this.height);
  }

  // The selected item, and the item under the pointer.
  chosen() {
    const { state } = this;
    if (state.hover && state.hover.item !== state.chosen?.item) this.outline(state.hover, 1.2, 0.55);
    if (state.chosen) this.outline(state.chosen, 2, 1);
  }

  outline({ row, place }, width, alpha) {
    const { context, state } = this;
    const placed = state.layout.rowOf(row);
    if (!placed) return;
    const y = placed.top - state.scroll + 1;
    const height = placed.height - (placed.height > 10 ? 3 : 1);
    let left = state.viewport.x(row.start[place]);
    let right = state.viewport.x(row.end[place]);
    if (row.kind !== "spans") [left, right] = [left - 5, left + 5];
    context.strokeStyle = state.palette.text;
    context.globalAlpha = alpha;
    context.lineWidth = width;
    context.beginPath();
    left = Math.max(left, -10);
    context.roundRect(left, y, Math.max(2, Math.min(right, this.width + 10) - left), height, 3);
    context.stroke();
    context.globalAlpha = 1;
  }

  // The part of `text` that fits in `room` pixels; empty if fewer than two letters fit.
  fitting(text, room) {
    if (this.measure(text) <= room) return text;
    const letters = Math.floor((room / this.measure(text)) * text.length) - 1;
    return letters >= 2 ? `${text.slice(0, letters)}…` : "";
  }

  measure(text) {
    let width = this.widths.get(text);
    if (width === undefined) {
      if (this.widths.size > 20000) this.widths.clear();
      width = this.context.measureText(text).width;
      this.widths.set(text, width);
    }
    return width;
  }
}
