// The interval of time that is shown. It can be moved and zoomed.

const LEAST = 20;
const MARGIN = 0.03;
const GLIDE_MS = 160;

export class Viewport {
  // `length`: the length of the whole trace in ns; `changed`: called when the interval has changed.
  constructor(length, changed) {
    this.length = Math.max(length, 1);
    this.changed = changed;
    this.width = 1;
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
    this.gliding = 0;
    const [begin, end] = this.all();
    this.begin = begin;
    this.end = end;
  }

  get span() {
    return this.end - this.begin;
  }

  // The number of CSS pixels per ns.
  get scale() {
    return this.width / this.span;
  }

  all() {
    return [-this.length * MARGIN, this.length * (1 + MARGIN)];
  }

  x(time) {
    return (time - this.begin) * this.scale;
  }

  time(x) {
    return this.begin + x / this.scale;
  }

  show(begin, end) {
    cancelAnimationFrame(this.gliding);
    this.place(begin, end);
  }

  // Like `show`, with a short animation.
  glide(begin, end) {
    cancelAnimationFrame(this.gliding);
    [begin, end] = this.allowed(begin, end);
    if (this.calm.matches) {
      this.place(begin, end);
      return;
    }
    const from = [this.begin, this.end];
    const ratio = Math.log((end - begin) / (from[1] - from[0]));
    let started = null;
    const step = (now) => {
      started ??= now;
      const done = Math.min(1, (now - started) / GLIDE_MS);
      const eased = 1 - (1 - done) ** 3;
      if (done === 1) {
        this.place(begin, end);
        return;
      }
      // The width of the interval changes exponentially. The positions of its edges follow from the width.
      const width = (from[1] - from[0]) * Math.exp(ratio * eased);
      const share = Math.abs(ratio) < 1e-6 ? eased : (width - (from[1] - from[0])) / (end - begin - from[1] + from[0]);
      const left = from[0] + (begin - from[0]) * share;
      this.place(left, left + width);
      this.gliding = requestAnimationFrame(step);
    };
    this.gliding = requestAnimationFrame(step);
  }

  zoom(factor, at = (this.begin + this.end) / 2) {
    const [low, high] = this.all();
    const span = Math.min(high - low, Math.max(LEAST, this.span * factor));
    const share = (at - this.begin) / this.span;
    return [at - span * share, at + span * (1 - share)];
  }

  place(begin, end) {
    [this.begin, this.end] = this.allowed(begin, end);
    this.changed();
  }

  allowed(begin, end) {
    const [low, high] = this.all();
    const span = Math.min(high - low, Math.max(LEAST, end - begin));
    const middle = (begin + end) / 2;
    const left = Math.min(high - span, Math.max(low, end - begin === span ? begin : middle - span / 2));
    return [left, left + span];
  }
}
