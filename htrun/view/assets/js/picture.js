// A canvas with the resolution of the screen, on which the state of the page is drawn.

export class Picture {
  // `state`: the state of the page (see main.js).
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
