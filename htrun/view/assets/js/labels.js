// The column with the names of the tracks. Only tracks on the screen have elements.

import { make } from "./dom.js";

export class Labels {
  // `toggled`: called with a process that is to be expanded or collapsed.
  constructor(holder, state, toggled) {
    this.holder = holder;
    this.state = state;
    this.toggled = toggled;
    this.shown = new Map();
  }

  // Remove all elements. The labels are created again for the next frame.
  clear() {
    for (const element of this.shown.values()) element.remove();
    this.shown.clear();
  }

  draw() {
    const { layout, scroll } = this.state;
    const height = this.holder.clientHeight;
    const wanted = new Map();
    for (const each of layout.within(layout.headers, scroll, scroll + height)) wanted.set(each.process, each);
    for (const each of layout.within(layout.tracks, scroll, scroll + height)) wanted.set(each.track, each);
    for (const [key, element] of this.shown) {
      if (wanted.has(key)) continue;
      element.remove();
      this.shown.delete(key);
    }
    for (const [key, placed] of wanted) {
      let element = this.shown.get(key);
      if (!element) {
        element = placed.process ? this.header(placed.process) : this.track(placed.track);
        this.holder.append(element);
        this.shown.set(key, element);
      }
      element.style.transform = `translateY(${placed.top - scroll}px)`;
      element.style.height = `${placed.height}px`;
      // Keep the name of a tall track visible.
      const inner = element.firstElementChild;
      const hidden = Math.max(0, scroll - placed.top);
      inner.style.transform = hidden ? `translateY(${Math.min(hidden, Math.max(0, placed.height - 38))}px)` : "";
    }
  }

  header(process) {
    const button = make(
      "button",
      { type: "button", class: "process", "aria-expanded": String(process.open), title: "Open or close (Enter)" },
      make("span", { class: "chevron", "aria-hidden": "true" }, "▾"),
      make("span", { class: "name", title: process.title }, process.title),
      make("span", { class: "detail" }, `pid ${process.pid}`),
    );
    button.addEventListener("click", () => {
      process.open = !process.open;
      button.setAttribute("aria-expanded", process.open);
      this.toggled();
    });
    return make("div", { class: "header", role: "listitem" }, button);
  }

  // The button that folds and unfolds a track with many lines.
  fold(track) {
    const button = make("button", { type: "button", class: "fold", "aria-expanded": String(track.unfolded), "aria-label": `All ${track.lanes.length} lines of ${track.title}` },
      make("span", { class: "chevron", "aria-hidden": "true" }, "▾"), `${track.lanes.length} lines`);
    button.addEventListener("click", () => {
      track.unfolded = !track.unfolded;
      button.setAttribute("aria-expanded", track.unfolded);
      this.toggled();
    });
    return button;
  }

  track(track) {
    const inner = make(
      "div",
      { class: "inner" },
      make("span", { class: "name", title: track.title }, track.title),
      make("span", { class: "detail" }, track.detail),
      track.lanes ? this.fold(track) : null,
    );
    return make("div", { class: `track ${track.kind}`, role: "listitem" }, inner);
  }
}
