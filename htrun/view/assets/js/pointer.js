// Handles the mouse, a pen or a finger on the timeline.

import { hit, snap } from "./hit.js";

const STILL = 4;
const EDGE = 5;
const LINE = 16;
const WHEEL = 0.0018;

export class Pointer {
  // `actions`: the functions of main.js that the pointer calls.
  constructor(canvas, state, actions) {
    this.canvas = canvas;
    this.state = state;
    this.actions = actions;
    this.grip = null;
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.up(event));
    canvas.addEventListener("pointercancel", () => this.release());
    canvas.addEventListener("pointerleave", () => actions.hover(null));
    canvas.addEventListener("dblclick", (event) => actions.zoomTo(hit(state, event.offsetX, event.offsetY)));
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    // Prevent browsers from scrolling the page on a drag with the middle button.
    canvas.addEventListener("auxclick", (event) => event.preventDefault());
  }

  down(event) {
    if (event.button === 2) return;
    this.canvas.setPointerCapture(event.pointerId);
    if (event.button === 1) event.preventDefault();
    const { viewport, range } = this.state;
    const pans = event.button === 1 || event.shiftKey || event.pointerType === "touch";
    const grip = { x: event.offsetX, y: event.offsetY, scroll: this.state.scroll, moved: false, pans };
    grip.begin = viewport.begin;
    grip.anchor = pans ? null : this.time(event);
    const edge = range && !pans ? this.edge(event.offsetX) : null;
    // One edge of the measured interval is moved. The other edge stays.
    if (edge) grip.anchor = edge === "begin" ? range.end : range.begin;
    this.grip = grip;
    this.actions.hover(null);
  }

  move(event) {
    const { grip, state } = this;
    if (!grip) {
      this.canvas.style.cursor = state.range && this.edge(event.offsetX) ? "ew-resize" : "";
      this.actions.hover(hit(state, event.offsetX, event.offsetY), event.clientX, event.clientY);
      return;
    }
    if (Math.hypot(event.offsetX - grip.x, event.offsetY - grip.y) >= STILL) grip.moved = true;
    if (!grip.moved) return;
    if (grip.pans) {
      this.canvas.style.cursor = "grabbing";
      const begin = grip.begin - (event.offsetX - grip.x) / state.viewport.scale;
      state.viewport.show(begin, begin + state.viewport.span);
      this.actions.scroll(grip.scroll - (event.offsetY - grip.y));
    } else {
      this.actions.measure(grip.anchor, this.time(event), false);
    }
  }

  up(event) {
    const { grip } = this;
    this.release();
    if (!grip) return;
    if (!grip.moved) this.actions.choose(hit(this.state, event.offsetX, event.offsetY));
    else if (!grip.pans) this.actions.measure(grip.anchor, this.time(event), true);
  }

  release() {
    this.grip = null;
    this.canvas.style.cursor = "";
  }

  // The time under the pointer. It snaps to the edges of items drawn there, unless Alt is held.
  time(event) {
    const { offsetX, offsetY, altKey } = event;
    return altKey ? this.state.viewport.time(offsetX) : snap(this.state, offsetX, offsetY);
  }

  edge(x) {
    const { range, viewport } = this.state;
    if (Math.abs(viewport.x(range.begin) - x) <= EDGE) return "begin";
    return Math.abs(viewport.x(range.end) - x) <= EDGE ? "end" : null;
  }

  wheel(event) {
    event.preventDefault();
    const { viewport } = this.state;
    const unit = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? LINE : 1;
    if (event.shiftKey) {
      this.actions.scroll(this.state.scroll + (event.deltaY || event.deltaX) * unit);
      return;
    }
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      const by = (event.deltaX * unit) / viewport.scale;
      viewport.show(viewport.begin + by, viewport.end + by);
      return;
    }
    // Browsers report a pinch gesture as a turn of the wheel with Ctrl pressed, in smaller steps.
    const factor = Math.exp(event.deltaY * unit * WHEEL * (event.ctrlKey ? 4 : 1));
    viewport.show(...viewport.zoom(factor, viewport.time(event.offsetX)));
  }
}
