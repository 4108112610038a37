// Creates elements concisely. Text is never parsed as HTML, because a guest chooses the names of its threads.

// `attributes`: the attributes of the element; a function is added as a listener. `children`: texts and elements.
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export const byId = (id) => document.getElementById(id);

// Announce `text` to screen readers.
export function say(text) {
  byId("said").textContent = text;
}

// A small square with the colour of a name.
export function swatch(palette, name) {
  const element = make("span", { class: "swatch", "aria-hidden": "true" });
  element.style.background = palette.styles[name];
  return element;
}
