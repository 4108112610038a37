// Round times for the ruler.

const APART = 110;

// The ticks in an interval: their times, their positions, and the time between two ticks.
export function ticksOf(viewport) {
  const least = (APART / viewport.width) * viewport.span;
  const power = 10 ** Math.floor(Math.log10(least));
  const step = Math.max(1, [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= least));
  const times = [];
  for (let at = Math.ceil(viewport.begin / step); at * step <= viewport.end; at++) times.push(at * step);
  return { step, times, xs: times.map((time) => viewport.x(time)) };
}
