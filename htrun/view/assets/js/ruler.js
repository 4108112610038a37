// The ruler above the tracks: round times, and the length of the measured interval.

import { duration, moment } from "./format.js";
import { Picture } from "./picture.js";

export class Ruler extends Picture {
  draw() {
    const { context, state, ratio, width, height } = this;
    const { palette, ticks } = state;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = palette.surface;
    context.fillRect(0, 0, width, height);
    context.font = `11px ${palette.font}`;
    context.textBaseline = "middle";
    ticks.times.forEach((time, place) => {
      const x = Math.round(ticks.xs[place]);
      context.fillStyle = palette.line;
      context.fillRect(x, height - 8, 1, 8);
      context.fillStyle = palette.dim;
      // At the right edge, the text of a tick is to the left of the tick.
      const text = moment(time, ticks.step);
      const room = context.measureText(text).width + 5;
      context.fillText(text, x + room > width ? x - room : x + 5, height / 2);
    });
    if (state.range) this.measure(state.range);
  }

  measure({ begin, end }) {
    const { context, state, width, height } = this;
    const left = state.viewport.x(begin);
    const right = state.viewport.x(end);
    if (right < 0 || left > width) return;
    const { palette } = state;
    context.fillStyle = palette.range;
    context.fillRect(left, 0, right - left, height);
    context.fillStyle = palette.rangeEdge;
    context.fillRect(left, height - 2, right - left, 2);
    const text = duration(end - begin);
    context.font = `600 11px ${palette.font}`;
    const room = context.measureText(text).width + 14;
    const x = Math.min(width - room, Math.max(0, (left + right - room) / 2));
    context.beginPath();
    context.roundRect(x, 3, room, height - 8, 6);
    context.fill();
    context.fillStyle = palette.surface;
    context.fillText(text, x + 7, height / 2 - 0.5);
  }
}
