"""The page of a trace with a million events, in a browser without a graphics processor."""

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

pytestmark = pytest.mark.serial

EVENTS = 1_000_000
FIRST_PAINT_MS = 2_000
FRAMES, RATE = 60, 30
"""How many are panned, and how many a second there must be."""
TRIES = 3
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


def drawn_ms(tab: Tab, page: Path) -> float:
    """How long after the start of its loading the page had drawn its timeline."""
    tab.open(page)
    tab.run("window.hypertrace.then(() => null)")
    return float(tab.run("performance.getEntriesByName('hypertrace-drawn')[0].startTime"))


def test_a_million_events_are_seen_within_two_seconds(tab: Tab, page: Path) -> None:
    """The best of a few: whatever else the machine does can only make it longer."""
    times: list[float] = []
    while len(times) < TRIES and min(times, default=FIRST_PAINT_MS) >= FIRST_PAINT_MS:
        times.append(drawn_ms(tab, page))
    assert min(times) < FIRST_PAINT_MS
    assert tab.run("window.hypertrace.then((page) => page.trace.count)") == EVENTS
    tab.screenshot(ROOT / "build" / "screenshots" / "million.png")


@pytest.mark.parametrize("part", [0.6, 0.1, 0.001])
def test_a_million_events_are_panned_at_thirty_frames_a_second(tab: Tab, page: Path, part: float) -> None:
    """At three zooms, by the frames that come, the best of a few tries, and by the time the page itself works for one:
    it must leave half of it to the browser."""
    drawn_ms(tab, page)
    rates: list[float] = []
    while len(rates) < TRIES and max(rates, default=0) < RATE:
        told: Any = tab.run(PAN.replace("PART", str(part)).replace("FRAMES", str(FRAMES)))
        work = told["work"]
        assert len(work) >= FRAMES
        rates.append(FRAMES / told["seconds"])
    assert max(rates) >= RATE
    assert work[len(work) // 2] < 1_000 / RATE / 2
    assert tab.errors == []
