// The page "Trace": the program, its threads, and the losses of the trace.

import { make } from "./dom.js";
import { count, duration, wallClock } from "./format.js";
import { facts, numberText } from "./details_page.js";

export function showTrace(holder, trace) {
  const { head } = trace;
  const per = new Uint32Array(trace.threads.length);
  for (let event = 0; event < trace.count; event++) per[trace.thread[event]]++;
  const threads = trace.threads.map((thread, number) => make("tr", {},
    make("th", { scope: "row" }, thread.comm || "?"),
    ...[thread.pid, thread.tid, numberText(thread)].map((id) => make("td", {}, String(id))),
    make("td", {}, count(per[number])), make("td", { class: thread.lost ? "alarm" : "" }, count(thread.lost))));
  const cards = [
    facts("Run", [
      ...Object.entries(head.facts),
      ["began", wallClock(trace.begin, 0)],
      ["lasted", duration(trace.length)],
      ["events", count(trace.count)],
      ["spans", count(trace.spans)],
    ]),
    make("section", { class: "card" }, make("h3", {}, "Threads"), make("table", { class: "threads" },
      make("thead", {}, make("tr", {}, ...["thread", "pid", "tid", "number", "events", "lost"].map((text) => make("th", { scope: "col" }, text)))),
      make("tbody", {}, ...threads))),
  ];
  const lacks = lacking(trace);
  if (lacks.length) cards.splice(1, 0, facts("What it lacks", lacks));
  holder.replaceChildren(make("div", { class: "cards" }, ...cards));
}

// The reasons to doubt the trace. Each has a text and at least one number.
export function lacking(trace) {
  const lost = trace.threads.reduce((sum, thread) => sum + thread.lost, 0);
  const words = { begins: "begins without an end", ends: "ends without a begin", negative: "ends before their begin",
    lost: "begins and ends next to lost events" };
  const rows = lost ? [["lost events", count(lost)]] : [];
  for (const { name, ...counts } of trace.head.unpaired) {
    const texts = Object.entries(counts).filter(([, number]) => number).map(([key, number]) => `${count(number)} ${words[key]}`);
    if (texts.length) rows.push([name, texts.join(", ")]);
  }
  return rows;
}
