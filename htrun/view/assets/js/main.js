// The page as a whole. It reads the trace, keeps the state, and makes the parts draw when the state changes.

import { Columns } from "./codec.js";
import { ComparisonPage } from "./comparison_page.js";
import { DetailsPage, threadText } from "./details_page.js";
import { byId, make, say } from "./dom.js";
import { FlamePage } from "./flame_page.js";
import { count, duration, plain } from "./format.js";
import { fromFragment, toFragment } from "./fragment.js";
import { find, target } from "./hit.js";
import { listen, showKeys } from "./keyboard.js";
import { Labels } from "./labels.js";
import { Layout } from "./layout.js";
import { Overview } from "./overview.js";
import { Palette } from "./palette.js";
import { Pointer } from "./pointer.js";
import { lowerBound } from "./pyramid.js";
import { Ruler } from "./ruler.js";
import { search } from "./search.js";
import { listenSplitter } from "./splitter.js";
import { StatisticsPage } from "./statistics_page.js";
import { Tabs } from "./tabs.js";
import { switchTheme, watchTheme } from "./theme.js";
import { ticksOf } from "./ticks.js";
import { Timeline } from "./timeline.js";
import { Trace } from "./trace.js";
import { lacking, showTrace } from "./trace_page.js";
import { tracksOf } from "./tracks.js";
import { Viewport } from "./viewport.js";

const PAUSE_MS = 120;
const FILLED = 0.6;
// The time in ms from the last change of the view to the change of the address. Browsers allow only a few changes of
// the address per second.
const ADDRESS_MS = 250;

class Page {
  // `state`: all data that the parts draw. `range`: the measured interval; `chosen`, `hover`: the selected item and the
  // item under the pointer (see hit.js); `found`: the result of the search (see search.js). Each of these is null if
  // there is none.
  constructor(trace, processes) {
    this.trace = trace;
    this.processes = processes;
    this.frames = [];
    this.wanted = false;
    const palette = new Palette(trace.names.length);
    const viewport = new Viewport(trace.length, () => {
      // Another item is now under the pointer.
      this.hover(null);
      this.request();
    });
    const layout = new Layout(processes);
    this.state = { trace, palette, viewport, layout, scroll: 0, range: null, chosen: null, hover: null, found: null, ticks: null };
    this.timeline = new Timeline(byId("timeline"), this.state);
    this.ruler = new Ruler(byId("ruler"), this.state);
    this.overview = new Overview(byId("overview"), this.state);
    this.labels = new Labels(byId("labels"), this.state, () => this.arrange());
    this.title();
    this.listen();
    this.resize();
  }

  title() {
    const { head } = this.trace;
    byId("title").textContent = byId("title").title = head.facts.command || head.trace;
    const under = [head.facts.guest, head.facts.emulator, head.facts.host].filter(Boolean).join(" · ");
    byId("subtitle").textContent = [under, `${count(this.trace.count)} events`, `${count(this.trace.spans)} spans`, duration(this.trace.length)]
      .filter(Boolean)
      .join(" · ");
  }

  // Fill the lower part. This is done later, because it would delay the first drawing.
  fillPanel() {
    const { head } = this.trace;
    this.statistics = new StatisticsPage(byId("page-statistics"), this.state, { search: (name) => this.searchFor(name) });
    this.flame = new FlamePage(byId("page-flame"), this.state);
    this.details = new DetailsPage(byId("page-details"), this.state, this.actions);
    showTrace(byId("page-trace"), this.trace);
    const pages = [["statistics", "Statistics"], ["flame", "Flame graph"], ["details", "Details"], ["trace", "Trace"]];
    if (head.comparison) {
      this.comparison = new ComparisonPage(byId("page-comparison"), this.state, head.comparison);
      pages.unshift(["comparison", "Comparison"]);
    }
    this.statistics.update();
    this.tabs = new Tabs(byId("tabs"), pages, (id) => {
      if (id === "statistics") this.statistics.show();
      if (id === "flame") this.flame.show();
      if (id === "details") this.details.draw();
      if (id === "comparison") this.comparison.draw();
      this.remember();
    });
    const lacks = lacking(this.trace);
    if (lacks.length) this.tabs.badge("trace", "incomplete");
  }

  // Draw with the next frame.
  request() {
    if (this.wanted) return;
    this.wanted = true;
    requestAnimationFrame(() => {
      this.wanted = false;
      const began = performance.now();
      this.draw();
      // The durations of the last frames in ms, for measurements.
      this.frames.push(performance.now() - began);
      if (this.frames.length > 1000) this.frames.shift();
    });
  }

  draw() {
    const { state } = this;
    state.ticks = ticksOf(state.viewport);
    this.timeline.draw();
    this.ruler.draw();
    this.overview.draw();
    this.labels.draw();
    byId("window").textContent = duration(state.viewport.span);
    this.remember();
  }

  // Store the state of the view in the page's address, as soon as it has not changed for a moment.
  remember() {
    if (!this.restored) return;
    clearTimeout(this.addressing);
    this.addressing = setTimeout(() => {
      const fragment = toFragment(this.view());
      const address = location.href.split("#")[0];
      if (location.hash !== (fragment && `#${fragment}`)) history.replaceState(null, "", fragment ? `${address}#${fragment}` : address);
    }, ADDRESS_MS);
  }

  // The tracks of all processes.
  tracks() {
    return this.processes.flatMap((process) => process.tracks);
  }

  // The view that the page's address describes (see fragment.js).
  view() {
    const { viewport, range, chosen, scroll } = this.state;
    const [begin, end] = viewport.all();
    const whole = viewport.begin === begin && viewport.end === end;
    return {
      shown: whole ? null : { begin: viewport.begin, end: viewport.end },
      measured: range,
      event: chosen ? chosen.event : null,
      query: byId("query").value.trim(),
      page: this.tabs.current === this.tabs.ids[0] ? "" : this.tabs.current,
      scroll,
      closed: this.processes.filter((process) => !process.open).map((process) => process.pid),
      unfolded: this.tracks().filter((track) => track.unfolded).map((track) => track.id),
    };
  }

  // Show the view that a link describes. Parts of the view that the link leaves out are reset.
  async restore(view) {
    const { state } = this;
    // Open the processes first: only items of open processes can be found.
    for (const process of this.processes) process.open = true;
    for (const track of this.tracks()) track.unfolded = view.unfolded?.includes(track.id) ?? false;
    this.arrange();
    this.choose(view.event === undefined ? null : this.locate(view.event));
    for (const process of this.processes) process.open = !view.closed?.includes(process.pid);
    this.labels.clear();
    this.arrange();
    state.range = view.measured ?? null;
    this.anchor = undefined;
    this.measured();
    byId("query").value = view.query ?? "";
    await this.search();
    this.tabs.show(this.tabs.ids.includes(view.page) ? view.page : this.tabs.ids[0]);
    if (view.shown) state.viewport.show(view.shown.begin, view.shown.end);
    else state.viewport.show(...state.viewport.all());
    byId("tracks").scrollTop = view.scroll ?? 0;
  }

  resize() {
    this.arrange();
    for (const part of [this.overview, this.ruler, this.timeline]) {
      const { clientWidth, clientHeight } = part.canvas;
      part.resize(clientWidth, clientHeight);
    }
    this.state.viewport.width = Math.max(1, this.timeline.width);
    this.flame?.draw();
    this.details?.draw();
  }

  arrange() {
    this.state.layout.arrange();
    // Everything above the tracks leaves room for the scroll bar of the tracks.
    const tracks = byId("tracks");
    tracks.parentElement.style.setProperty("--bar", `${tracks.offsetWidth - tracks.clientWidth}px`);
    byId("room").style.height = `${Math.max(0, this.state.layout.height - tracks.clientHeight)}px`;
    this.request();
  }

  listen() {
    const tracks = byId("tracks");
    tracks.addEventListener("scroll", () => {
      this.state.scroll = tracks.scrollTop;
      this.request();
    });
    new ResizeObserver(() => this.resize()).observe(tracks);
    watchTheme(() => this.recolour());
    // A link to this page was opened in the tab of this page.
    addEventListener("hashchange", () => this.restore(fromFragment(location.hash)));
    this.actions = this.makeActions();
    this.pointer = new Pointer(byId("timeline"), this.state, this.actions);
    listen(this.actions);
    listenSplitter(byId("splitter"), byId("panel"), () => this.statistics?.show());
    byId("whole").addEventListener("click", () => this.actions.whole());
    byId("theme").addEventListener("click", () => this.actions.theme());
    byId("help").addEventListener("click", showKeys);
    byId("previous").addEventListener("click", () => this.actions.match(-1));
    byId("next").addEventListener("click", () => this.actions.match(1));
    byId("search").addEventListener("submit", async (event) => {
      event.preventDefault();
      await this.search();
      this.actions.match(1);
      byId("timeline").focus();
    });
    byId("query").addEventListener("input", () => {
      clearTimeout(this.pause);
      this.pause = setTimeout(() => this.search(), PAUSE_MS);
    });
  }

  recolour() {
    this.state.palette.read();
    this.timeline.widths.clear();
    this.statistics?.draw();
    this.comparison?.draw();
    this.flame?.draw();
    this.details?.show(this.state.chosen);
    this.request();
  }

  makeActions() {
    const { state } = this;
    const { viewport } = state;
    const tracks = byId("tracks");
    return {
      pan: (part) => viewport.glide(viewport.begin + part * viewport.span, viewport.end + part * viewport.span),
      zoom: (factor) => viewport.glide(...viewport.zoom(factor, this.focusTime())),
      whole: () => viewport.glide(...viewport.all()),
      scroll: (top) => {
        tracks.scrollTop = top;
      },
      scrollBy: (by) => {
        tracks.scrollTop += by;
      },
      hover: (hover, x, y) => this.hover(hover, x, y),
      choose: (chosen) => this.choose(chosen),
      step: (by) => this.step(by),
      open: (event) => this.open(event),
      line: (by) => this.line(by),
      zoomTo: (item) => item && this.zoomTo(item),
      fit: () => this.fit(),
      measure: (from, to, done) => this.measure(from, to, done),
      mark: () => this.mark(),
      match: (by) => this.match(by),
      search: () => byId("query").focus(),
      theme: () => switchTheme(),
      help: showKeys,
      clear: () => this.clear(),
    };
  }

  // The centre for zooming by keyboard: the selected item, if it is visible.
  focusTime() {
    const { chosen, viewport } = this.state;
    const time = chosen ? chosen.row.start[chosen.place] : NaN;
    return time >= viewport.begin && time <= viewport.end ? time : (viewport.begin + viewport.end) / 2;
  }

  hover(hover, x, y) {
    const { state } = this;
    const tip = byId("tip");
    if (hover?.item !== state.hover?.item || hover?.row !== state.hover?.row) this.request();
    state.hover = hover;
    tip.hidden = !hover;
    if (!hover) return;
    tip.replaceChildren(make("b", {}, this.describe(hover)), make("span", {}, threadText(this.trace.threads[this.trace.thread[hover.event]])));
    const { offsetWidth, offsetHeight } = tip;
    tip.style.left = `${Math.min(x + 14, innerWidth - offsetWidth - 8)}px`;
    tip.style.top = `${Math.min(y + 16, innerHeight - offsetHeight - 8)}px`;
  }

  describe({ row, place, item, event }) {
    const { trace } = this;
    const name = trace.names[trace.nameOf(event)];
    if (row.kind === "spans") return `${name} ${duration(trace.duration(item))}`;
    if (row.density) return `${plain(row.values[place])} ${name} at a time`;
    if (row.kind === "counter") return `${name} ${plain(row.values[place])}`;
    return `${name} at ${duration(trace.time[event])}`;
  }

  choose(chosen) {
    this.state.chosen = chosen;
    this.request();
    this.details?.show(chosen);
    this.statistics?.show();
    if (!chosen) return;
    this.tabs?.show("details");
    say(`${this.describe(chosen)}, ${threadText(this.trace.threads[this.trace.thread[chosen.event]])}`);
  }

  step(by) {
    const { state } = this;
    const { chosen, viewport } = state;
    if (!chosen) {
      const placed = state.layout.rows.find((each) => each.row.kind === "spans") ?? state.layout.rows[0];
      if (placed) this.reach(target(this.trace, placed.row, this.nearest(placed.row, (viewport.begin + viewport.end) / 2)));
      return;
    }
    const place = chosen.place + by;
    if (place >= 0 && place < chosen.row.items.length) this.reach(target(this.trace, chosen.row, place));
  }

  line(by) {
    const { chosen, layout } = this.state;
    const from = chosen ? layout.rows.findIndex((each) => each.row === chosen.row) : -1;
    const next = layout.rows[from + by];
    if (next) this.reach(target(this.trace, next.row, this.nearest(next.row, chosen ? chosen.row.start[chosen.place] : 0)));
  }

  nearest(row, time) {
    return Math.max(0, Math.min(lowerBound(row.start, time), row.start.length - 1));
  }

  // Select an item and make it visible.
  reach(item) {
    const { viewport, layout, scroll } = this.state;
    const [begin, end] = [item.row.start[item.place], item.row.end[item.place]];
    if (end < viewport.begin + viewport.span * 0.02 || begin > viewport.end - viewport.span * 0.02) {
      const middle = (begin + end) / 2;
      viewport.glide(middle - viewport.span / 2, middle + viewport.span / 2);
    }
    const placed = layout.rowOf(item.row);
    if (placed && (placed.top < scroll || placed.top + placed.height > scroll + this.timeline.height)) {
      byId("tracks").scrollTop = placed.top - this.timeline.height / 2;
    }
    this.choose(item);
  }

  zoomTo(item) {
    const [begin, end] = [item.row.start[item.place], item.row.end[item.place]];
    this.show(begin, end > begin ? end : begin + this.state.viewport.span / 20);
    this.choose(item);
  }

  // The item of the event number `event`, or of the span that this event begins or ends. Null if its process is closed.
  // Unfolds its track if necessary.
  locate(event) {
    const { state, trace } = this;
    const found = find(state, event);
    const span = trace.spanAt(event);
    if (found || span < 0) return found;
    for (const { track } of state.layout.tracks) {
      if (!track.lanes || track.unfolded || !track.lanes.some(({ items }) => items[lowerBound(items, span)] === span)) continue;
      track.unfolded = true;
      this.labels.clear();
      this.arrange();
      return find(state, event);
    }
    return null;
  }

  // Select the event number `event`, or the span that this event begins or ends, and zoom to it.
  open(event) {
    const item = this.locate(event);
    if (!item) return;
    this.reach(item);
    this.zoomTo(item);
  }

  // Move smoothly to an interval, with room on both sides.
  show(begin, end) {
    const room = ((end - begin) * (1 / FILLED - 1)) / 2;
    this.state.viewport.glide(begin - room, end + room);
  }

  fit() {
    const { range, chosen, viewport } = this.state;
    if (range) this.show(range.begin, range.end);
    else if (chosen) this.zoomTo(chosen);
    else viewport.glide(...viewport.all());
  }

  // Measure the interval between two times. `done`: whether the interval is final; only then its statistics are
  // computed.
  measure(from, to, done) {
    this.state.range = { begin: Math.min(from, to), end: Math.max(from, to) };
    this.request();
    if (!done) return;
    this.measured();
    if (this.tabs?.current !== "flame") this.tabs?.show("statistics");
    say(`measured ${duration(Math.abs(to - from))}`);
  }

  // The measured interval has changed.
  measured() {
    this.statistics?.update();
    this.flame?.show();
  }

  mark() {
    const { chosen } = this.state;
    if (!chosen) return;
    const [begin, end] = [chosen.row.start[chosen.place], chosen.row.end[chosen.place]];
    this.anchor ??= { begin, end };
    this.measure(Math.min(this.anchor.begin, begin), Math.max(this.anchor.end, end), true);
  }

  clear() {
    const { state } = this;
    if (document.activeElement === byId("query") || (state.found && !state.range && !state.chosen)) {
      byId("query").value = "";
      this.search();
      byId("timeline").focus();
    } else if (state.range) {
      state.range = null;
      this.anchor = undefined;
      this.measured();
    } else {
      this.choose(null);
    }
    this.request();
  }

  async searchFor(name) {
    byId("query").value = name;
    await this.search();
  }

  async search() {
    clearTimeout(this.pause);
    const query = byId("query").value.trim();
    if (query === this.query) return;
    this.query = query;
    const found = byId("found");
    try {
      const result = await search(this.trace, query);
      if (query !== this.query) return;
      this.state.found = result;
      found.textContent = result ? `${count(result.events.length)} found` : "";
      found.classList.toggle("none", result?.events.length === 0);
    } catch (error) {
      this.state.found = null;
      found.textContent = error.message;
      found.classList.add("none");
    }
    this.overview.mark(this.state.found?.events ?? null);
    this.request();
  }

  // Go to the match after or before the selected item. Wraps around at the ends.
  match(by) {
    const { state } = this;
    const events = state.found?.events;
    if (!events?.length) return;
    const from = state.chosen ? state.chosen.event : by > 0 ? -1 : this.trace.count;
    const next = lowerBound(events, from);
    const place = (by > 0 ? next + (events[next] === from ? 1 : 0) : next - 1 + events.length) % events.length;
    const item = this.locate(events[place]);
    byId("found").textContent = `${count(place + 1)} of ${count(events.length)}`;
    if (item) this.reach(item);
  }
}

async function start() {
  const head = JSON.parse(byId("head").textContent);
  const trace = await Trace.load(head, new Columns());
  const page = new Page(trace, await tracksOf(trace));
  page.draw();
  // This frame is painted when the next one begins.
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  performance.mark("hypertrace-drawn");
  page.fillPanel();
  if (location.hash.length > 1) await page.restore(fromFragment(location.hash));
  else if (head.at !== null) page.open(head.at);
  page.restored = true;
  return page;
}

// For scripts that drive the page: resolves when everything is loaded.
window.hypertrace = start().catch((error) => {
  document.body.append(make("p", { class: "failure", role: "alert" }, `This page cannot show its trace: ${error.message}`));
  throw error;
});
