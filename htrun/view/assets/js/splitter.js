// The bar between the tracks and the lower part. It can be moved with the mouse or the arrow keys.

const LEAST = 90;
const STEP = 30;

// `moved`: called when the height of the lower part has changed.
export function listenSplitter(bar, panel, moved) {
  let grip = null;
  const set = (height) => {
    const most = innerHeight * 0.75;
    panel.style.height = `${Math.max(LEAST, Math.min(most, height))}px`;
    bar.setAttribute("aria-valuenow", Math.round((panel.clientHeight / innerHeight) * 100));
    moved();
  };
  bar.addEventListener("pointerdown", (event) => {
    bar.setPointerCapture(event.pointerId);
    grip = { y: event.clientY, height: panel.clientHeight };
  });
  bar.addEventListener("pointermove", (event) => grip && set(grip.height + grip.y - event.clientY));
  bar.addEventListener("pointerup", () => {
    grip = null;
  });
  bar.addEventListener("keydown", (event) => {
    const by = { ArrowUp: STEP, ArrowDown: -STEP }[event.key];
    if (!by) return;
    event.preventDefault();
    set(panel.clientHeight + by);
  });
}
