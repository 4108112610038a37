// The fragment of the page's address contains the state of the view, so that a link leads to the same view.
//
// #t=12.5..300&e=17&m=20..40&q=dur>10us&p=details&y=120&c=4711,4712
//
// t: the shown times, in ns since the first event; e: the number of the selected event, counted from 1; m: the measured
// times; q: the search; p: the page in the lower part; y: the vertical scroll position of the tracks; c: the ids of
// closed processes; u: the numbers of unfolded tracks.

const TIMES = { t: "shown", m: "measured" };
const WORDS = { q: "query", p: "page" };
const LISTS = { c: "closed", u: "unfolded" };
// Fractions of a nanosecond are stored only if fewer nanoseconds than this are shown.
const FINE = 1000;

// `view`: an object with the members `shown` and `measured` (each { begin, end }), `event` and `scroll` (numbers),
// `query` and `page` (texts), `closed` (process ids) and `unfolded` (numbers of tracks). Members that are missing or
// null are left out.
export function toFragment(view) {
  const parts = [];
  for (const [key, name] of Object.entries(TIMES)) {
    if (!view[name]) continue;
    const { begin, end } = view[name];
    const text = (time) => String(Number(time.toFixed(end - begin < FINE ? 3 : 0)));
    parts.push(`${key}=${text(begin)}..${text(end)}`);
  }
  if (view.event !== null && view.event !== undefined) parts.push(`e=${view.event + 1}`);
  for (const [key, name] of Object.entries(WORDS)) if (view[name]) parts.push(`${key}=${encodeURIComponent(view[name])}`);
  if (view.scroll) parts.push(`y=${Math.round(view.scroll)}`);
  for (const [key, name] of Object.entries(LISTS)) if (view[name]?.length) parts.push(`${key}=${view[name].join(",")}`);
  return parts.join("&");
}

// The view that the fragment `text` describes. Invalid parts are left out, because a link may be cut off.
export function fromFragment(text) {
  const view = {};
  for (const part of text.replace(/^#/, "").split("&")) {
    const [key, ...rest] = part.split("=");
    const value = rest.join("=");
    if (Object.hasOwn(TIMES, key)) put(view, TIMES[key], times(value));
    else if (Object.hasOwn(WORDS, key)) put(view, WORDS[key], decoded(value));
    else if (key === "e" && /^[1-9]\d{0,14}$/.test(value)) view.event = Number(value) - 1;
    else if (key === "y" && /^\d{1,9}$/.test(value)) view.scroll = Number(value);
    else if (Object.hasOwn(LISTS, key) && /^\d{1,10}(,\d{1,10})*$/.test(value)) view[LISTS[key]] = value.split(",").map(Number);
  }
  return view;
}

function put(view, name, value) {
  if (value) view[name] = value;
}

function times(text) {
  const found = /^(-?\d{1,17}(?:\.\d{1,3})?)\.\.(-?\d{1,17}(?:\.\d{1,3})?)$/.exec(text);
  if (!found) return null;
  const [begin, end] = [Number(found[1]), Number(found[2])];
  return begin <= end ? { begin, end } : null;
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}
