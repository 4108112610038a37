// Draws items that are too small to be drawn individually. Each row is drawn as one line of pixels. The colour of a
// pixel is that of the longest span in the pixel's time, and its opacity is the share of this time that spans take. All
// lines form one image, whose lines are stretched to the heights of the rows.

import { gallop, lowerBound } from "./pyramid.js";

const FAINT = 70;
const DIMMED = 40;

export class Strip {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.context = this.canvas.getContext("2d");
    this.image = null;
  }

  // Make room for `rows` lines of `width` transparent pixels.
  clear(width, rows) {
    if (!this.image || this.image.width !== width || this.image.height < rows) {
      this.canvas.width = width;
      this.canvas.height = Math.max(rows, 1);
      this.image = this.context.createImageData(width, this.canvas.height);
      this.pixels = new Uint32Array(this.image.data.buffer);
    } else {
      this.pixels.fill(0, 0, width * rows);
    }
    this.width = width;
    this.rows = rows;
  }

  // Paint the spans of `row` on `line`. For each span of at least `least` pixels, `large` is called instead. `begin`:
  // the time at the left edge. `scale`: the number of device pixels per ns.
  spans(line, row, begin, scale, look, large, least) {
    const { start, end, busy, items, longest } = row;
    const { width, pixels } = this;
    const from = line * width;
    const until = begin + width / scale;
    let i = lowerBound(end, begin);
    // A span that ends at the left edge is only drawn if its length is 0.
    while (i < start.length && start[i] < until) {
      const left = (start[i] - begin) * scale;
      const right = (end[i] - begin) * scale;
      if (right - left >= least) {
        large(i, left, right);
        i++;
        continue;
      }
      const pixel = Math.max(0, Math.floor(left));
      if (right - left >= 2) {
        this.run(from, pixel, Math.min(width, Math.round(right) - 1), look(items[i]), 255);
        i++;
        continue;
      }
      // The spans from index i to j-1 begin within this pixel.
      let j = gallop(start, begin + (pixel + 1) / scale, i);
      if (j === i) j = i + 1;
      if (j > i + 1 && (end[j - 1] - start[j - 1]) * scale >= 2) j--;
      const taken = (busy[j] - busy[i]) * scale;
      const best = j - i > 1 ? longest.of(i, j) : i;
      pixels[from + pixel] = shade(look(items[best]), FAINT + (255 - FAINT) * Math.min(1, taken));
      i = j;
    }
  }

  // Paint single events. For each event that is followed by `apart` pixels of room, `large` is called instead.
  instants(line, row, begin, scale, look, large, apart) {
    const { start, items } = row;
    const { width, pixels } = this;
    const from = line * width;
    let i = lowerBound(start, begin - apart / scale);
    const until = begin + width / scale;
    while (i < start.length && start[i] < until) {
      const x = (start[i] - begin) * scale;
      const pixel = Math.floor(x);
      const j = Math.max(i + 1, gallop(start, begin + (pixel + 1) / scale, i));
      const room = (j < start.length ? (start[j] - begin) * scale : Infinity) - x;
      if (j === i + 1 && room >= apart) {
        large(i, x, room);
      } else if (pixel >= 0) {
        pixels[from + pixel] = shade(look(items[i]), Math.min(255, 120 + 30 * Math.log2(j - i)));
      }
      i = j;
    }
  }

  run(from, left, right, look, alpha) {
    this.pixels.fill(shade(look, alpha), from + left, from + Math.max(left + 1, right));
  }

  // Copy the lines to the canvas from which `line` draws.
  done() {
    this.context.putImageData(this.image, 0, 0, 0, 0, this.width, this.rows);
  }

  // Draw a line, stretched.
  draw(context, line, x, y, height) {
    context.drawImage(this.canvas, 0, line, this.width, 1, x, y, this.width, height);
  }
}

// The pixel for `look`, which is a colour, with 1 in the highest byte if the colour is dimmed.
function shade(look, alpha) {
  const opacity = look >>> 24 ? Math.min(alpha, DIMMED) : alpha;
  return ((look & 0xffffff) | (opacity << 24)) >>> 0;
}

export const dimmed = (word) => (word | 0x1000000) >>> 0;
