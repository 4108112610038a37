// Light or dark: as the system is, until the user switches.

const dark = matchMedia("(prefers-color-scheme: dark)");
const listeners = [];

// `changed`: is called when the colours are others.
export function watchTheme(changed) {
  listeners.push(changed);
  dark.addEventListener("change", changed);
}

export function switchTheme() {
  const root = document.documentElement;
  const now = root.dataset.theme ?? (dark.matches ? "dark" : "light");
  root.dataset.theme = now === "dark" ? "light" : "dark";
  for (const changed of listeners) changed();
}
