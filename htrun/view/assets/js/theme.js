// The light or dark theme. It follows the setting of the system until the user switches it.

const dark = matchMedia("(prefers-color-scheme: dark)");
const listeners = [];

// `changed`: called when the colours have changed.
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
