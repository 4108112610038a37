// A canvas that is as sharp as the screen, and what is drawn on it: the state of the page.

export class Picture {
  // `state`: what is shown (see main.js).
  constructor(canvas, state) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.state = state;
  }

  resize(width, height) {
    this.width = width;
    this.height = height;
    this.ratio = devicePixelRatio || 1;
    this.canvas.width = Math.round(width * this.ratio);
    this.canvas.height = Math.round(height * this.ratio);
  }
}
