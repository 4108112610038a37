// A strip that shows the whole trace: the number of events over time, the matches of the search, and the part that the
// timeline shows.

import { Picture } from "./picture.js";

const BUCKETS = 800;

export class Overview extends Picture {
  constructor(canvas, state) {
    super(canvas, state);
    this.picture = document.createElement("canvas");
    this.painted = null;
    this.marks = null;
    this.counts = this.countAll(state.trace.time);
    this.listen();
  }

  countAll(times) {
    const counts = new Uint32Array(BUCKETS);
    const scale = BUCKETS / (this.state.trace.length + 1);
    for (let event = 0; event < times.length; event++) counts[Math.floor(times[event] * scale)]++;
    return counts;
  }

  // Mark the positions of `events`: a bucket is set if it contains at least one of these events.
  mark(events) {
    this.marks = null;
    this.painted = null;
    if (events) {
      this.marks = new Uint8Array(BUCKETS);
      const scale = BUCKETS / (this.state.trace.length + 1);
      for (const event of events) this.marks[Math.floor(this.state.trace.time[event] * scale)] = 1;
    }
  }

  // The position of a time. The margins are the same shares of the width as in the tracks when they show the whole
  // trace.
  x(time) {
    const [begin, end] = this.state.viewport.all();
    return ((time - begin) / (end - begin)) * this.width;
  }

  time(x) {
    const [begin, end] = this.state.viewport.all();
    return begin + (x / this.width) * (end - begin);
  }

  // The bars are cached: they change only with the theme and the size, and drawing them takes longer than everything
  // else.
  paint() {
    const { state, ratio, width, height, counts } = this;
    this.picture.width = this.canvas.width;
    this.picture.height = this.canvas.height;
    const context = this.picture.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const most = counts.reduce((greatest, count) => Math.max(greatest, count), 1);
    const first = this.x(0);
    const step = (this.x(state.trace.length) - first) / BUCKETS;
    context.fillStyle = state.palette.accent;
    context.globalAlpha = 0.75;
    counts.forEach((count, bucket) => {
      if (!count) return;
      const size = Math.max(1.5, (count / most) * (height - 8));
      context.fillRect(first + bucket * step, height - 2 - size, Math.max(step, 1), size);
    });
    context.globalAlpha = 1;
    context.fillStyle = state.palette.mark;
    this.marks?.forEach((marked, bucket) => {
      if (marked) context.fillRect(first + bucket * step, 0, Math.max(step, 1.5), 5);
    });
    this.painted = `${width} ${height} ${ratio} ${state.palette.accent}`;
  }

  draw() {
    const { context, state, ratio, width, height } = this;
    const { palette, viewport, range } = state;
    if (this.painted !== `${width} ${height} ${ratio} ${palette.accent}`) this.paint();
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = palette.band;
    context.fillRect(0, 0, width, height);
    const left = this.x(viewport.begin);
    const right = this.x(viewport.end);
    context.fillStyle = palette.surface;
    context.fillRect(left, 0, right - left, height);
    context.drawImage(this.picture, 0, 0, width, height);
    if (range) {
      context.fillStyle = palette.range;
      context.fillRect(this.x(range.begin), 0, Math.max(1, this.x(range.end) - this.x(range.begin)), height);
    }
    context.fillStyle = palette.rangeEdge;
    context.fillRect(left, 0, 1.5, height);
    context.fillRect(right - 1.5, 0, 1.5, height);
  }

  // A drag that starts outside the shown part selects a new part; a drag inside moves the part.
  listen() {
    let grip = null;
    this.canvas.addEventListener("pointerdown", (event) => {
      const { viewport } = this.state;
      this.canvas.setPointerCapture(event.pointerId);
      const time = this.time(event.offsetX);
      const inside = time > viewport.begin && time < viewport.end && viewport.span < this.state.trace.length;
      grip = { time, x: event.offsetX, offset: inside ? time - viewport.begin : null };
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (!grip) return;
      const { viewport } = this.state;
      const time = this.time(event.offsetX);
      if (grip.offset !== null) viewport.show(time - grip.offset, time - grip.offset + viewport.span);
      else if (Math.abs(event.offsetX - grip.x) > 3) viewport.show(Math.min(time, grip.time), Math.max(time, grip.time));
    });
    this.canvas.addEventListener("pointerup", (event) => {
      const { viewport } = this.state;
      if (grip && grip.offset === null && Math.abs(event.offsetX - grip.x) <= 3) {
        viewport.glide(grip.time - viewport.span / 2, grip.time + viewport.span / 2);
      }
      grip = null;
    });
    this.canvas.addEventListener("dblclick", () => this.state.viewport.glide(...this.state.viewport.all()));
  }
}
