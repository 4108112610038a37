// Times, numbers and values as text.

const UNITS = [
  [1e9, "s"],
  [1e6, "ms"],
  [1e3, "µs"],
  [1, "ns"],
];

export const count = (number) => Math.round(number).toLocaleString("en-US");

// A duration in ns, with about four digits.
export function duration(ns) {
  if (!Number.isFinite(ns)) return "";
  const size = Math.abs(ns);
  const [unit, name] = UNITS.find(([each]) => size >= each) ?? UNITS[3];
  const scaled = ns / unit;
  const decimals = unit === 1 ? (Number.isInteger(ns) || size >= 100 ? 0 : 1) : Math.max(0, 3 - digits(scaled));
  const text = scaled.toFixed(decimals);
  // 999.96 us would be shown as 1000.0 us.
  return Math.abs(Number(text)) >= 1000 && unit < 1e9 ? duration(Math.sign(ns) * unit * 1000) : `${text} ${name}`;
}

// A duration in ns, with all digits.
export function exact(ns) {
  return `${count(ns)} ns`;
}

// A time since the first event, with as many digits as needed to distinguish times `step` ns apart.
export function moment(ns, step) {
  const [unit, name] = UNITS.find(([each]) => Math.max(Math.abs(ns), step) >= each) ?? UNITS[3];
  const decimals = Math.max(0, Math.min(12, -Math.floor(Math.log10(step / unit) + 1e-9)));
  return `${(ns / unit).toFixed(decimals)} ${name}`;
}

// The local date and time `ns` after `begin` (ns since 1970, a BigInt), with nine decimals.
export function wallClock(begin, ns) {
  const time = begin + BigInt(Math.round(ns));
  const seconds = time / 1000000000n;
  const date = new Date(Number(seconds) * 1000);
  if (Number.isNaN(date.getTime())) return `@${seconds}`;
  const two = (number) => String(number).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const clock = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  return `${day} ${clock}.${String(time % 1000000000n).padStart(9, "0")}`;
}

export function percent(part) {
  return `${(part * 100).toFixed(part < 0.1 ? 2 : part < 0.9995 ? 1 : 0)}%`;
}

// The text of the time taken, as a share of an interval. If spans overlap, in several threads or inside each other, the
// time taken may exceed the interval. The text is then the mean number of simultaneous spans.
export function shareText(part) {
  return part <= 1 ? percent(part) : `${part.toFixed(part < 9.95 ? 1 : 0)} at a time`;
}

export function plain(number) {
  if (Number.isInteger(number) && Math.abs(number) < 1e15) return number.toLocaleString("en-US");
  return Number(number.toPrecision(6)).toString();
}

// The text of an argument. Its word has the type of `field`.
export function value(field, word) {
  switch (field.type) {
    case "i64":
      return BigInt.asIntN(64, word).toString();
    case "f64":
      return String(real(word));
    case "hex":
      return `0x${word.toString(16).padStart(16, "0")}`;
    case "bool":
      return word ? "true" : "false";
    case "enum":
      return field.labels?.[word.toString()] ?? word.toString();
    default:
      return word.toString();
  }
}

function real(word) {
  return new Float64Array(new BigUint64Array([word]).buffer)[0];
}

function digits(number) {
  return Math.max(1, Math.floor(Math.log10(Math.abs(number)) + 1e-12) + 1);
}
