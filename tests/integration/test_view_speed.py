"""The page of a trace with a million events, in a browser without a graphics processor.

The limits are for a current machine. On a slower or busy machine, they are scaled by the time of a fixed piece of work.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import Tab, browser
from tests.support.run import HTRUN
from tests.support.spans import trace_of_requests
from tests.support.toolchain import ROOT

pytestmark = [pytest.mark.serial, pytest.mark.heavy("a million events in a browser, timed")]

EVENTS = 1_000_000
FIRST_PAINT_MS = 2_000
FRAMES, RATE = 60, 30
"""The number of frames to pan, and the required frames per second."""
TRIES = 3
WORK_MS = 110
"""The time of `WORK` on the machine that the limits are for."""
WORK = """
(() => {
  const begin = performance.now();
  const numbers = new Float64Array(1 << 20);
  let last = 1;
  for (let place = 0; place < numbers.length; place++) {
    last = (last * 1103515245 + 12345) % 2147483648;
    numbers[place] = last;
  }
  numbers.sort();
  return performance.now() - begin;
})()
"""
PAN = """
window.hypertrace.then((page) => new Promise((done) => {
  const { viewport } = page.state;
  const width = page.trace.length * PART;
  let begin = page.trace.length * 0.2;
  let frames = 0;
  const times = [];
  const step = (now) => {
    if (frames === 0) page.frames.length = 0;
    times.push(now);
    begin += width / 90;
    viewport.show(begin, begin + width);
    if (frames++ < FRAMES) requestAnimationFrame(step);
    else done({ work: page.frames.slice().sort((a, b) => a - b), seconds: (times.at(-1) - times[0]) / 1000 });
  };
  requestAnimationFrame(step);
}))
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("million")
    trace_of_requests(directory / "trace", EVENTS, threads=6)
    subprocess.run([HTRUN.with_name("hypertrace"), "view", "trace"], cwd=directory, check=True, capture_output=True)
    return directory / "trace.html"


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def slowness(tab: Tab) -> float:
    """The factor by which this machine is slower now; at least 1."""
    return max(1.0, min(float(tab.run(WORK)) for _ in range(TRIES)) / WORK_MS)


def drawn_ms(tab: Tab, page: Path) -> float:
    """The time from the start of loading until the page has drawn its timeline."""
    tab.open(page)
    tab.run("window.hypertrace.then(() => null)")
    return float(tab.run("performance.getEntriesByName('hypertrace-drawn')[0].startTime"))


def test_a_million_events_are_seen_within_two_seconds(tab: Tab, page: Path) -> None:
    """The best of a few: other load on the machine can only make it longer."""
    tab.open(page)
    shares: list[float] = []
    while len(shares) < TRIES and min(shares, default=1) >= 1:
        allowed = FIRST_PAINT_MS * slowness(tab)
        shares.append(drawn_ms(tab, page) / allowed)
    assert min(shares) < 1
    assert tab.run("window.hypertrace.then((page) => page.trace.count)") == EVENTS
    tab.screenshot(ROOT / "build" / "screenshots" / "million.png")


@pytest.mark.parametrize("part", [0.6, 0.1, 0.001])
def test_a_million_events_are_panned_at_thirty_frames_a_second(tab: Tab, page: Path, part: float) -> None:
    """At three zoom levels: the frames per second, and the time that the script takes for a frame, the best of a few
    attempts: half of a frame's time must be left for the browser."""
    drawn_ms(tab, page)
    shares: list[tuple[float, float]] = []
    while len(shares) < TRIES and min(map(max, shares), default=1) >= 1:
        allowed_ms = 1_000 / RATE * slowness(tab)
        told: Any = tab.run(PAN.replace("PART", str(part)).replace("FRAMES", str(FRAMES)))
        work = told["work"]
        assert len(work) >= FRAMES
        frame_ms = told["seconds"] * 1_000 / FRAMES
        shares.append((frame_ms / allowed_ms, work[len(work) // 2] / (allowed_ms / 2)))
    assert min(map(max, shares)) < 1, shares
    assert tab.errors == []
