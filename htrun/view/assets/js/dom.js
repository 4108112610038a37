// Elements, made in one line. Text goes in as text: a guest chooses its threads' names.

// `attributes`: of the element; one that is a function is a listener; `children`: texts and elements.
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

// Tell those who do not see it.
export function say(text) {
  byId("said").textContent = text;
}

// The small coloured square that stands for a name.
export function swatch(palette, name) {
  const element = make("span", { class: "swatch", "aria-hidden": "true" });
  element.style.background = palette.styles[name];
  return element;
}
