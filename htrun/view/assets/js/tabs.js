// The tabs of the lower part. Their keys follow the WAI-ARIA pattern for tabs.

import { byId, make } from "./dom.js";

export class Tabs {
  // `pages`: pairs of an id and a title; `shown`: called with the id of a page when the page is shown.
  constructor(holder, pages, shown) {
    this.shown = shown;
    this.ids = pages.map(([id]) => id);
    this.tabs = new Map(
      pages.map(([id, title]) => [
        id,
        make("button", { type: "button", role: "tab", id: `tab-${id}`, "aria-controls": `page-${id}`, click: () => this.show(id) }, title),
      ]),
    );
    holder.replaceChildren(...this.tabs.values());
    holder.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!by) return;
      const { ids } = this;
      this.show(ids[(ids.indexOf(this.current) + by + ids.length) % ids.length]);
      this.tabs.get(this.current).focus();
    });
    this.show(this.ids[0]);
  }

  show(id) {
    this.current = id;
    for (const [each, tab] of this.tabs) {
      const chosen = each === id;
      tab.setAttribute("aria-selected", chosen);
      tab.tabIndex = chosen ? 0 : -1;
      byId(`page-${each}`).hidden = !chosen;
    }
    this.shown(id);
  }

  // Mark a tab that has new content.
  badge(id, text) {
    this.tabs.get(id).append(make("span", { class: "badge" }, text));
  }
}
