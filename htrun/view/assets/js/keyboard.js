// Handles keys, and shows the dialog that lists them.

import { byId, make } from "./dom.js";

const PAN = 0.2;
const ZOOM = 1.6;
const SCROLL = 60;

// The functions: for each, its keys, its title, and a call of an action of main.js.
const KEYS = [
  [["ArrowLeft", "a"], "← or A", "earlier", (act) => act.pan(-PAN)],
  [["ArrowRight", "d"], "→ or D", "later", (act) => act.pan(PAN)],
  [["+", "=", "w"], "+ or W", "zoom in", (act) => act.zoom(1 / ZOOM)],
  [["-", "_", "s"], "− or S", "zoom out", (act) => act.zoom(ZOOM)],
  [["ArrowUp"], "↑", "scroll up", (act) => act.scrollBy(-SCROLL)],
  [["ArrowDown"], "↓", "scroll down", (act) => act.scrollBy(SCROLL)],
  [["0", "Home"], "0", "the whole trace", (act) => act.whole()],
  [["."], ".", "next event of the track", (act) => act.step(1)],
  [[","], ",", "event before it", (act) => act.step(-1)],
  [["ArrowDown"], "Alt ↓", "into the next line", (act) => act.line(1), "alt"],
  [["ArrowUp"], "Alt ↑", "into the line above", (act) => act.line(-1), "alt"],
  [["f"], "F", "zoom to what is chosen or measured", (act) => act.fit()],
  [["m"], "M", "measure what is chosen; from there, to what is chosen next", (act) => act.mark()],
  [["/"], "/", "search", (act) => act.search()],
  [["n"], "N", "next match", (act) => act.match(1)],
  [["N"], "Shift N", "match before it", (act) => act.match(-1)],
  [["t"], "T", "light or dark", (act) => act.theme()],
  [["?"], "?", "these keys", (act) => act.help()],
  [["Escape"], "Esc", "let go: of the search, what is measured, what is chosen", (act) => act.clear()],
];
const MOUSE = [
  ["Wheel", "zoom at the pointer"],
  ["Drag", "measure; sticks to edges of spans, unless Alt is held"],
  ["Shift + drag, middle button", "move"],
  ["Shift + wheel, wheel over the names", "scroll the tracks"],
  ["Click", "arguments and facts of a span or event"],
  ["Double click", "zoom to it"],
];

export function listen(actions) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || byId("keys").open) return;
    const { target } = event;
    if (target.matches("input, select, textarea")) {
      if (event.key === "Escape") actions.clear();
      return;
    }
    // A button or a tab handles keys itself.
    const own = target.closest("button, [role=tab], [role=separator], .page, summary");
    if (own && ["Enter", " ", "ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home"].includes(event.key)) return;
    const found = KEYS.find(([keys, , , , alt]) => keys.includes(event.key) && event.altKey === (alt === "alt"));
    if (!found) return;
    event.preventDefault();
    found[3](actions);
  });
}

export function showKeys() {
  const dialog = byId("keys");
  const rows = (pairs) => pairs.map(([key, what]) => [make("dt", {}, make("kbd", {}, key)), make("dd", {}, what)]).flat();
  dialog.replaceChildren(
    make("h2", { id: "keys-title" }, "Keys and mouse"),
    make("div", { class: "columns" },
      make("dl", {}, ...rows(KEYS.map(([, key, what]) => [key, what]))),
      make("dl", {}, ...rows(MOUSE)),
    ),
    make("form", { method: "dialog" }, make("button", { class: "primary", autofocus: true }, "Close")),
  );
  dialog.showModal();
}
