"""``hypertrace view``: its page in a real browser, opened as a file and used by mouse and keyboard.

Screenshots are left in ``build/screenshots``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from htrun.events.calibration import PAIRS, Pair
from htrun.events.stream import Stream
from tests.support.browser import Tab, browser
from tests.support.hypertrace import hypertrace, said
from tests.support.server_trace import trace_of_server
from tests.support.spans import BEGIN, NAMES, trace_of_requests
from tests.support.toolchain import ROOT
from tests.unit.analysis.made import FACTS, Made

SCREENSHOTS = ROOT / "build" / "screenshots"
LEFT, TOP = 216, 127
"""The position of the timeline in the window, in CSS pixels: ``--labels`` in the style sheet, and the height of the
elements above."""

LINES = "[...document.querySelectorAll('#page-statistics tbody tr')]"
JOB = Pair("job", 1, 2)
WORDS = "line.querySelector('.pick').innerText.trim().replace(/\\s+/g, ' ')"
"""The lines of the statistics, and a JavaScript expression for each."""


class Shown:
    """A page in a tab."""

    def __init__(self, tab: Tab, page: Path) -> None:
        self.tab = tab
        self.page = page
        tab.open(page)
        tab.run("window.hypertrace.then(() => null)")

    def ask(self, script: str) -> Any:
        """The value of ``script``, in which ``page`` is the page's own object."""
        return self.tab.run(f"window.hypertrace.then((page) => ({script}))")

    def show(self, begin: float, end: float) -> None:
        """Make the timeline show this interval, ns."""
        self.ask(f"(page.state.viewport.show({begin}, {end}), null)")
        self.settle()

    def settle(self) -> None:
        """Return when no animation runs and everything is drawn."""
        self.tab.run(
            "window.hypertrace.then((page) => new Promise((done) => { let calm = 0; let last = null;"
            " const look = () => { const { begin, end } = page.state.viewport; const now = `${begin} ${end}`;"
            " calm = now === last && !page.wanted ? calm + 1 : 0; last = now;"
            " if (calm > 3) done(null); else requestAnimationFrame(look); }; look(); }))"
        )

    def x(self, time: float) -> float:
        """The horizontal position of a time in the window."""
        return LEFT + float(self.ask(f"page.state.viewport.x({time})"))

    def row(self, number: int) -> float:
        """The vertical position of a row's middle in the window."""
        script = f"(({{ top, height }}) => top + height / 2 - page.state.scroll)(page.state.layout.rows[{number}])"
        return TOP + float(self.ask(script))

    def text(self, selector: str) -> str:
        """The text of an element."""
        return str(self.tab.run(f"document.querySelector({selector!r}).innerText"))

    def picture(self, name: str) -> None:
        """Save a screenshot."""
        self.settle()
        self.tab.screenshot(SCREENSHOTS / f"{name}.png")


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    """A browser."""
    with browser(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


@pytest.fixture
def open_page(window: Tab) -> Iterator[Callable[[Path], Shown]]:
    """Opens a page. At the end it checks that only files were requested, and that nothing failed."""
    window.errors.clear()
    window.requests.clear()
    window.prefer("light")
    pages: list[Path] = []

    def open_it(page: Path) -> Shown:
        pages.append(page)
        return Shown(window, page)

    yield open_it
    window.run("null")
    assert window.errors == []
    assert window.requests == [page.as_uri() for page in pages]


@pytest.fixture(scope="module")
def requests_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a trace with 8,000 events of four threads."""
    directory = tmp_path_factory.mktemp("requests")
    trace_of_requests(directory / "trace", 8_000)
    assert said("view", "trace", directory=directory) == "trace.html\n"
    return directory / "trace.html"


@pytest.fixture
def known(tmp_path: Path) -> Path:
    """The page of a trace with named events: a request of 25 us that contains a parse of 10 us."""
    made = Made(tmp_path / "trace", 3, {**FACTS, "named_events": NAMES})
    rows = [
        (10_000, [1, 2**63, 1]),
        (12_000, [3, 0, 0]),
        (22_000, [4, 0, 0]),
        (24_000, [5, 0xFFFF800000000000, 0]),
        (35_000, [2, 2**64 - 5, 0]),
        (60_000, [1, 7, 5]),
        (61_000, [2, 9, 0]),
        (100_000, [3, 0, 0]),
    ]
    made.packet(Stream(100, 100, 0, "ma\x1bin"), [BEGIN + time for time, _ in rows], [args for _, args in rows], site=3)
    made.packet(Stream(101, 100, 1, "worker"), [BEGIN, BEGIN + 110_000], [[77, 1, 2], [77, 3, 4]], discarded=12)
    made.close()
    said("view", "trace", "-o", "known.html", directory=tmp_path)
    return tmp_path / "known.html"


def test_it_opens_from_the_disk_in_both_themes(requests_page: Path, open_page: Callable[[Path], Shown]) -> None:
    shown = open_page(requests_page)
    assert shown.text("h1") == "./server --workers 4"
    assert "8,000 events" in shown.text("#subtitle")
    assert shown.ask("page.state.layout.tracks.map(({ track }) => track.title)") == [
        "server",
        "worker-1",
        "worker-2",
        "worker-3",
        "job",
        "queue",
    ]
    shown.picture("whole-light")
    light = shown.tab.run("getComputedStyle(document.body).backgroundColor")
    shown.tab.prefer("dark")
    shown.picture("whole-dark")
    dark = shown.tab.run("getComputedStyle(document.body).backgroundColor")
    shown.tab.press("t")
    assert shown.tab.run("getComputedStyle(document.body).backgroundColor") == light != dark
    shown.show(100_000, 200_000)
    shown.tab.click(shown.x(150_000), shown.row(1))
    shown.picture("near-light")
    shown.tab.press("t")
    assert shown.tab.run("getComputedStyle(document.body).backgroundColor") == dark
    shown.picture("near-dark")
    shown.tab.press("?")
    shown.picture("keys-dark")


@pytest.mark.parametrize("width", [1000, 640, 400])
def test_a_narrow_window_hides_nothing(requests_page: Path, open_page: Callable[[Path], Shown], width: int) -> None:
    """All controls are within the window, except those that become visible by scrolling a table."""
    shown = open_page(requests_page)
    shown.tab.resize(width, 800)
    try:
        shown.settle()
        beyond = shown.tab.run(
            "[...document.querySelectorAll('button, input, select, canvas')].filter((each) =>"
            " !each.closest('table, dialog') && each.getBoundingClientRect().right > innerWidth)"
            ".map((each) => each.outerHTML)"
        )
        assert beyond == []
        shown.picture(f"window-{width}-light")
        shown.tab.press("?")
        shown.tab.wait_for("document.querySelector('dialog').open")
        assert shown.tab.run("document.querySelector('dialog').getBoundingClientRect().right") <= width
        assert shown.tab.run("document.querySelector('dialog').scrollWidth") <= width
        shown.picture(f"window-{width}-keys-light")
    finally:
        shown.tab.resize(1440, 900)


CUT_OFF = """[...document.querySelectorAll("body *")].filter((each) => {
    if (!each.checkVisibility() || each.closest("dialog:not([open]), .unseen, svg")) return false;
    const hasText = [...each.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
    return (getComputedStyle(each).overflowX !== "visible" && each.scrollWidth > each.clientWidth + 1)
        || (hasText && each.getBoundingClientRect().right > innerWidth + 1);
}).map((each) => `${each.tagName} .${each.className} ${each.textContent.trim().slice(0, 40)}`)"""
"""Elements whose content is wider than they are, or with text beyond the window."""

LONG_NAME = "a request with a name of several words, and one_identifier_that_can_not_be_broken"


@pytest.fixture(scope="module")
def wide_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with very long texts: names, processes, threads and facts."""
    directory = tmp_path_factory.mktemp("wide")
    names = "".join(
        f'[[event]]\nid = {number}\nname = "{name}"\nphase = "{phase}"\n'
        for number, (name, phase) in enumerate(
            ((name, phase) for name in (LONG_NAME, "parse") for phase in ("begin", "end")), 1
        )
    )
    facts = {"hostname": "a-long-name.example.org", "guest_architecture": "aarch64", "named_events": names}
    for side in ("old", "new"):
        made = Made(directory / side, 3, {**FACTS, **facts, "emulator": "/usr/bin/qemu-aarch64-static"})
        for thread in range(4):
            pauses = np.array([12_345, 99_000_123, 17, 1_000_000]) * (1 + np.arange(1500)[:, None] % 7)
            times = [BEGIN, *(BEGIN + np.cumsum(pauses.ravel())[:-1]).tolist()]
            stream = Stream(4194300 + thread, 4194300, thread, "fifteen-letters")
            made.packet(stream, times, [[1, 0, 0], [3, 0, 0], [4, 0, 0], [2, 0, 0]] * 1500)
        made.close()
    hypertrace("view", "old", "--compare", "new", "-o", "wide.html", directory=directory)
    return directory / "wide.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_text_is_cut_off(wide_page: Path, open_page: Callable[[Path], Shown], scheme: str) -> None:
    shown = open_page(wide_page)
    shown.tab.prefer(scheme)
    shown.ask("(page.step(1), null)")
    shown.tab.wait_for("document.querySelector('#page-details h2')")
    try:
        for width in (500, 900, 1400, 2560):
            shown.tab.resize(width, 900)
            for name in shown.ask("page.tabs.ids"):
                shown.tab.run(f"(document.querySelector('#tab-{name}').click(), null)")
                shown.settle()
                assert shown.tab.run(CUT_OFF) == [], (width, name)
                shown.picture(f"wide-{width}-{name}-{scheme}")
    finally:
        shown.tab.resize(1440, 900)


def test_what_is_cut_off_is_found(wide_page: Path, open_page: Callable[[Path], Shown]) -> None:
    shown = open_page(wide_page)
    shown.tab.run("(document.querySelector('#title').textContent = 'long '.repeat(200), null)")
    assert [line.split()[0] for line in shown.tab.run(CUT_OFF)] == ["H1"]


def test_nothing_that_is_drawn_is_an_element(requests_page: Path, open_page: Callable[[Path], Shown]) -> None:
    shown = open_page(requests_page)
    assert shown.tab.run("document.querySelectorAll('*').length") < 500


def test_a_drag_measures(known: Path, open_page: Callable[[Path], Shown]) -> None:
    shown = open_page(known)
    shown.show(0, 100_000)
    # A few pixels away from the begin and the end of the request, on its row: the times snap to these.
    shown.tab.drag((shown.x(10_000) + 4, shown.row(1)), (shown.x(35_000) - 3, shown.row(1)))
    assert shown.ask("page.state.range") == {"begin": 10_000, "end": 35_000}
    assert shown.text("#said") == "measured 25.0 µs"
    # The first event of the site and the thread trapped, as hypertrace stat says, too.
    left_out = "Without 1 hatched span, in which an event trapped"
    assert shown.text("#about") == f"What begins in the 25.0 µs that are measured. {left_out}"
    shown.picture("measured-light")
    rows = shown.tab.run("[...document.querySelectorAll('.statistics tbody tr')].map((row) => row.innerText)")
    assert [re.split(r"\s+", row)[0] for row in rows] == ["parse", "miss"]
    # One value makes one bar, in the middle.
    assert shown.text("#page-statistics .caption") == "1 duration; median 10.0 µs, longest 10.0 µs"
    assert shown.ask("page.statistics.histogram.shown.series[0].counts") == [0, 0, 0, 0, 1, 0, 0, 0, 0]
    # An edge can be moved; the end of the second request is at 61 us.
    shown.tab.drag((shown.x(35_000), shown.row(0)), (shown.x(61_000) + 2, shown.row(1)))
    assert shown.ask("page.state.range") == {"begin": 10_000, "end": 61_000}
    # If nothing is near, times are those of the pixels.
    shown.tab.drag((shown.x(70_000), shown.row(2)), (shown.x(90_000), shown.row(2)))
    measured = shown.ask("page.state.range.end - page.state.range.begin")
    assert abs(measured - 20_000) <= shown.ask("2 / page.state.viewport.scale")
    shown.tab.press("Escape")
    assert shown.ask("page.state.range") is None


def test_a_click_shows_all_arguments(known: Path, open_page: Callable[[Path], Shown]) -> None:
    shown = open_page(known)
    shown.show(0, 100_000)
    shown.tab.click(shown.x(30_000), shown.row(1))
    shown.tab.wait_for("document.querySelector('#page-details h2')")
    cards = shown.tab.run(
        "Object.fromEntries([...document.querySelectorAll('#page-details .card')].map((card) => [card.querySelector("
        "'h3').textContent, Object.fromEntries([...card.querySelectorAll('tr')].map((row) => [row.cells[0].textContent,"
        " row.cells[1].textContent]))]))"
    )
    assert cards["Within it"] == {"parse": "10.0 µs", "in none of them": "15.0 µs"}
    assert "Meanwhile" not in cards
    # Its rank in the distribution. The distribution does not contain this span, because it includes a trap.
    assert shown.text("#page-details .wide .caption") == "1 duration; this one is longer than 100% of 1"
    assert shown.ask("page.details.histogram.marked") == 25_000
    assert cards["Begin"] == {"number": str(2**63), "kind": "WRITE", "site": "3"}
    assert cards["End"] == {"result": "-5", "site": "3"}
    assert cards["Facts"]["duration"] == "25,000 ns"
    assert cards["Facts"]["includes"] == "a trap: the first event of a call site or a thread"
    assert cards["Facts"]["longer than"] == "100% of 1"
    assert cards["Facts"]["date"].endswith(".000010000")
    shown.tab.click(shown.x(24_000), shown.row(0))
    shown.tab.wait_for("document.querySelector('#page-details h2').textContent === 'miss'")
    assert "0xffff800000000000" in shown.text("#page-details")
    # The last event is a begin without its end.
    shown.ask("(page.state.viewport.show(60000, 110000), null)")
    shown.tab.click(shown.x(100_000), shown.row(0))
    shown.tab.wait_for("document.querySelector('#page-details h2').textContent === 'parse'")
    assert "a begin without its end" in shown.text("#page-details")


def test_a_span_shows_what_ran_meanwhile(tmp_path: Path, open_page: Callable[[Path], Shown]) -> None:
    """For the server's slowest request, the page shows the checkpoint that held the lock. A click selects it."""
    trace_of_server(tmp_path / "trace")
    said("view", "trace", directory=tmp_path)
    shown = open_page(tmp_path / "trace.html")
    longest = (
        "page.trace.spanBegin[page.trace.end.reduce((best, end, span) => page.trace.names[page.trace.spanName[span]]"
    )
    longest += (
        " === 'lock_wait' && page.trace.duration(span) > (best < 0 ? 0 : page.trace.duration(best)) ? span : best, -1)]"
    )
    shown.ask(f"(page.open({longest}), null)")
    shown.tab.wait_for("document.querySelector('#page-details h2')?.textContent === 'lock_wait'")
    shown.settle()
    cards = "[...document.querySelectorAll('#page-details .card')]"
    meanwhile = f"{cards}.find((card) => card.querySelector('h3').textContent === 'Meanwhile')"
    rows = shown.tab.run(f"[...{meanwhile}.querySelectorAll('tr')].map((row) => row.innerText)")
    assert any(row.startswith("checkpoint") and "checkpointer" in row for row in rows), rows
    shown.picture("meanwhile-light")
    shown.tab.run(
        f"([...{meanwhile}.querySelectorAll('button')].find((each) => each.innerText === 'checkpoint').click(), null)"
    )
    shown.tab.wait_for("document.querySelector('#page-details h2').textContent === 'checkpoint'")


def test_many_keyed_spans_are_folded(tmp_path: Path, open_page: Callable[[Path], Shown]) -> None:
    """They are folded to the number at a time, and the longest. A search for another span unfolds them."""
    made = Made(tmp_path / "trace", 3, {**FACTS, "named_events": NAMES})
    edges = sorted(
        [(100 * key, 7, key) for key in range(40)] + [(100 * key + 1_950 + key % 7, 8, key) for key in range(40)]
    )
    times, args = [BEGIN + time for time, _, _ in edges], [[kind, key, 0] for _, kind, key in edges]
    made.packet(Stream(5, 5, 0, "app"), times, args).close()
    said("view", "trace", directory=tmp_path)
    shown = open_page(tmp_path / "trace.html")
    kinds = "page.state.layout.rows.map(({ row }) => row.kind)"
    assert shown.ask(kinds) == ["spans", "counter"]
    assert shown.ask("page.state.layout.rows[1].row.high") == 20
    shown.picture("folded-light")
    shown.tab.mouse("Moved", shown.x(3_025), shown.row(1), buttons=0, button="none")
    assert shown.text("#tip b") == "20 job at a time"
    fold = "document.querySelector('.labels .fold')"
    assert shown.tab.run(f"[{fold}.innerText, {fold}.ariaExpanded]") == ["▾20 lines", "false"]
    shown.tab.run(f"({fold}.click(), null)")
    assert shown.ask(kinds) == ["spans"] * 20
    shown.picture("unfolded-light")
    shown.tab.wait_for("location.hash.includes('u=')")
    shown.tab.run(f"({fold}.click(), null)")
    assert shown.ask(kinds) == ["spans", "counter"]
    # The longest jobs take 1,956 ns: number 6 and each seventh after it. Number 5 is not among them.
    shown.tab.press("/")
    shown.tab.type("key=5")
    shown.tab.press("Enter")
    shown.tab.wait_for("document.querySelector('#page-details h2')?.textContent === 'job'")
    assert len(shown.ask(kinds)) == 20


def test_a_flame_graph_shows_time_by_nesting(known: Path, open_page: Callable[[Path], Shown]) -> None:
    shown = open_page(known)
    shown.tab.run("(document.querySelector('#tab-flame').click(), null)")
    assert shown.text("#page-flame .about").endswith(". With the traps in 1 hatched span")
    boxes = (
        "page.flame.boxes.map(({ node, level }) => [page.flame.nameOf(node), level, node.total, node.own, node.count])"
    )
    request = ["request", 1, 26_000, 16_000, 2]
    assert shown.ask(boxes) == [["all spans", 0, 26_000, 0, 0], request, ["parse", 2, 10_000, 10_000, 1]]
    left, top, width = shown.tab.run(
        "(({ left, top, width }) => [left, top, width])"
        "(document.querySelector('.flame canvas').getBoundingClientRect())"
    )
    shown.tab.mouse("Moved", left + 20, top + 50, buttons=0, button="none")
    caption = "#page-flame .caption"
    assert shown.text(caption) == "parse: 10.0 µs, 38.5% of all spans, 10.0 µs in no other span, 1 of them"
    # A click on a box makes it as wide as the window.
    shown.tab.click(left + 20, top + 50)
    assert shown.ask("page.flame.boxes.at(-1).width") == pytest.approx(width, abs=1)
    shown.picture("flame-light")
    shown.tab.run("(document.querySelector('#page-flame .row button').click(), null)")
    assert shown.ask("page.flame.boxes.at(-1).width") < width / 2
    # The graph of the measured period, and of one thread.
    shown.tab.drag((shown.x(55_000), shown.row(2)), (shown.x(90_000), shown.row(2)), modifiers=1)
    assert shown.ask("page.tabs.current") == "flame"
    assert shown.ask(boxes) == [["all spans", 0, 1_000, 0, 0], ["request", 1, 1_000, 1_000, 1]]
    shown.tab.run(
        "((select) => { select.value = '1'; select.dispatchEvent(new Event('change')); })"
        "(document.querySelector('#page-flame select'))"
    )
    assert shown.ask(boxes) == []
    assert shown.text(caption) == "No span of a thread lies here."


def test_a_search_finds(known: Path, open_page: Callable[[Path], Shown]) -> None:
    shown = open_page(known)

    def found(query: str) -> str:
        shown.tab.run(f"(document.querySelector('#query').value = {query!r}, null)")
        return str(shown.ask("page.search().then(() => document.querySelector('#found').textContent)"))

    assert found("req") == "2 found"
    assert found("request dur>1us") == "1 found"
    assert found("dur>=1us") == "3 found"
    assert found("kind=WRITE") == "1 found"
    assert found("result<0") == "1 found"
    assert found(f"number={2**63}") == "1 found"
    assert found("number>=7 result>0") == "1 found"
    assert found("address=0xffff800000000000") == "1 found"
    assert found("thread=worker") == "2 found"
    assert found("arg2=3") == "1 found"
    assert found("nothing") == "0 found"
    assert found("sise=3") == "no event has a field sise"
    assert found("dur>long") == "long is not a duration: write 500ns, 10us, 1.5ms"
    assert found("number=x") == "x is not a number"
    assert found("") == ""


def test_matches_are_gone_through_by_keys(requests_page: Path, open_page: Callable[[Path], Shown]) -> None:
    shown = open_page(requests_page)
    shown.show(0, 100_000)
    shown.tab.press("/")
    shown.tab.type("number=77")
    shown.tab.press("Enter")
    shown.tab.wait_for("document.querySelector('#found').textContent === '1 of 4'")
    shown.settle()
    place = shown.ask("(({ row, place }) => [page.state.viewport.begin < row.start[place], "
                      "row.start[place] < page.state.viewport.end])(page.state.chosen)")  # fmt: skip
    assert place == [True, True]
    for expected in ("2 of 4", "3 of 4", "4 of 4", "1 of 4"):
        shown.tab.press("n")
        assert shown.text("#found") == expected
    shown.tab.press("N")
    assert shown.text("#found") == "4 of 4"
    shown.picture("found-light")


@pytest.mark.parametrize("number", [3, 4])
def test_a_page_opens_at_the_span_of_an_event(known: Path, open_page: Callable[[Path], Shown], number: int) -> None:
    """Event 3 begins the parse of 10 us, and event 4 ends it."""
    said("view", "trace", "--at", str(number), "-o", "at.html", directory=known.parent)
    shown = open_page(known.with_name("at.html"))
    shown.tab.wait_for("document.querySelector('#page-details h2')?.textContent === 'parse'")
    shown.settle()
    begin, end = shown.ask("[page.state.viewport.begin, page.state.viewport.end]")
    assert 0 < begin < 12_000 < 22_000 < end < 30_000


def test_a_link_shows_the_same_again(requests_page: Path, open_page: Callable[[Path], Shown]) -> None:
    """The address of the page contains the view: the visible period, the selection, the measured period, the search,
    and the closed processes."""
    shown = open_page(requests_page)
    shown.tab.resize(1440, 600)
    state = (
        "({ begin: Math.round(page.state.viewport.begin), end: Math.round(page.state.viewport.end), "
        "event: page.state.chosen?.event ?? null, range: Object.values(page.state.range ?? {}).map(Math.round), "
        "scroll: page.state.scroll, "
        "query: document.querySelector('#query').value, found: page.state.found?.events.length ?? null, "
        "tab: page.tabs.current, open: page.processes.map(({ open }) => open) })"
    )
    assert shown.tab.run("location.hash") == ""
    whole = shown.ask(state)
    shown.show(100_000, 400_000)
    shown.tab.drag((shown.x(150_000), shown.row(1)), (shown.x(250_000), shown.row(1)))
    shown.tab.click(shown.x(300_000), shown.row(1))
    shown.tab.press("/")
    shown.tab.type("request dur>10us")
    shown.tab.press("Enter")
    shown.tab.wait_for("document.querySelector('#found').textContent.includes(' of ')")
    shown.settle()
    shown.tab.run(
        "(document.querySelector('#tab-trace').click(), document.querySelector('#tracks').scrollTop = 30, null)"
    )
    shown.settle()
    before = shown.ask(state)
    assert before["found"] > 0
    assert (before["tab"], before["scroll"]) == ("trace", 30)
    shown.tab.wait_for("location.hash.includes('y=30') && location.hash.includes('p=trace')")
    link = shown.tab.run("location.href")
    # In the same tab, with a typed address, and in another tab.
    shown.tab.run("(location.hash = '', null)")
    shown.tab.wait_for("document.querySelector('#query').value === ''")
    shown.settle()
    assert shown.ask(state) == whole
    shown.tab.run(f"(location.href = {link!r}, null)")
    shown.tab.wait_for("document.querySelector('#tracks').scrollTop === 30")
    shown.settle()
    assert shown.ask(state) == before
    shown.tab.call("Page.navigate", url="about:blank")
    shown.tab.call("Page.navigate", url=link)
    shown.tab.wait_for("document.readyState === 'complete' && window.hypertrace")
    shown.settle()
    assert shown.ask(state) == before
    shown.tab.requests[:] = shown.tab.requests[:1]
    shown.tab.resize(1440, 900)


@pytest.mark.parametrize("fragment", ["t=5..3&e=99999999&c=1", "e=0", "%%%", "t=1e9..2e9&q=%", "p=nothing&w=nothing"])
def test_a_link_that_says_nothing_useful_shows_the_page(
    known: Path, open_page: Callable[[Path], Shown], fragment: str
) -> None:
    shown = open_page(known)
    shown.tab.run(f"(location.hash = {fragment!r}, null)")
    shown.settle()
    assert shown.ask("page.state.chosen") is None
    assert shown.tab.run("document.querySelector('.failure')") is None


def test_the_keyboard_alone_will_do(known: Path, open_page: Callable[[Path], Shown]) -> None:
    shown = open_page(known)
    for _ in range(12):
        shown.tab.press("Tab")
        if shown.tab.run("document.activeElement.id") == "timeline":
            break
    assert shown.tab.run("document.activeElement.id") == "timeline"
    shown.tab.press(".")
    assert shown.text("#said").startswith("request 1.00 µs, ma")
    shown.tab.press(",")
    assert shown.text("#said").startswith("request 25.0 µs")
    shown.tab.press("ArrowDown", "Alt")
    assert shown.text("#said").startswith("parse 10.0 µs")
    shown.tab.press("m")
    assert shown.ask("page.state.range") == {"begin": 12_000, "end": 22_000}
    shown.tab.press("ArrowUp", "Alt")
    shown.tab.press(".")
    shown.tab.press("m")
    assert shown.ask("page.state.range") == {"begin": 12_000, "end": 61_000}
    before = shown.ask("page.state.viewport.span")
    shown.tab.press("+")
    shown.settle()
    assert shown.ask("page.state.viewport.span") == pytest.approx(before / 1.6)
    begin = shown.ask("page.state.viewport.begin")
    shown.tab.press("ArrowLeft")
    shown.settle()
    assert shown.ask("page.state.viewport.begin") < begin
    shown.tab.press("0")
    shown.settle()
    assert shown.ask("page.state.viewport.span") == pytest.approx(before)


def test_the_mouse_zooms_moves_and_scrolls(requests_page: Path, open_page: Callable[[Path], Shown]) -> None:
    shown = open_page(requests_page)
    whole = shown.ask("page.state.viewport.span")
    under = shown.ask("page.state.viewport.time(300)")
    shown.tab.mouse("Wheel", LEFT + 300, TOP + 60, deltaX=0, deltaY=-500)
    shown.settle()
    assert shown.ask("page.state.viewport.span") < whole / 2
    assert shown.ask(f"page.state.viewport.x({under})") == pytest.approx(300, abs=0.5)
    begin, span = shown.ask("[page.state.viewport.begin, page.state.viewport.span]")
    shown.tab.drag((LEFT + 500, TOP + 60), (LEFT + 300, TOP + 60), modifiers=8)
    shown.settle()
    assert shown.ask("page.state.viewport.span") == pytest.approx(span)
    assert shown.ask("page.state.viewport.begin") > begin
    assert shown.ask("page.state.range") is None
    shown.tab.resize(1000, 600)
    shown.settle()
    shown.tab.mouse("Wheel", LEFT + 300, TOP + 60, deltaX=0, deltaY=80, modifiers=8)
    shown.tab.wait_for("document.querySelector('#tracks').scrollTop === 80")
    shown.settle()
    assert shown.ask("page.state.scroll") == 80
    shown.tab.resize(1440, 900)


def test_statistics_are_those_of_numpy(tmp_path: Path, open_page: Callable[[Path], Shown]) -> None:
    trace_of_requests(tmp_path / "trace", 8_032)
    said("view", "trace", directory=tmp_path)
    shown = open_page(tmp_path / "trace.html")
    [row] = shown.ask(
        "page.statistics.rows.filter((row) => page.trace.names[row.name] === 'request')"
        ".map(({ values, ...row }) => ({ ...row, values: [...values] }))"
    )
    values = np.array(row["values"])
    # Each thread begins with an event that trapped, except the first thread, which already has a ring.
    assert len(values) == row["count"] == 1001
    assert shown.text("#about").endswith("Without 3 hatched spans, in which an event trapped")
    assert row["total"] == values.sum()
    for key, share in {"median": 50, "p90": 90, "p99": 99, "p999": 99.9}.items():
        assert row[key] == pytest.approx(np.percentile(values, share))
    assert (row["min"], row["max"]) == (values.min(), values.max())


def test_one_line_is_chosen_even_if_others_have_its_name(known: Path, open_page: Callable[[Path], Shown]) -> None:
    """ "parse" has a span, and a begin without its end."""
    shown = open_page(known)
    for what in ("parse", "parse between events"):
        shown.tab.run(f"({LINES}.find((line) => {WORDS} === {what!r}).click(), null)")
        assert shown.tab.run(f"{LINES}.filter((line) => line.matches('.chosen')).map((line) => {WORDS})") == [what]


def test_everything_has_a_name_for_those_who_do_not_see_it(
    requests_page: Path, open_page: Callable[[Path], Shown]
) -> None:
    nodes = open_page(requests_page).tab.accessible()
    needs_name = {"button", "tab", "tabpanel", "textbox", "combobox", "application", "image", "separator", "splitter"}
    assert [node for node in nodes if node[0] in needs_name and not node[1]] == []
    roles = {role for role, _ in nodes}
    assert {"banner", "main", "search", "tablist", "table", "columnheader", "rowheader", "heading"} <= roles
    assert ("button", "server pid 100") in [(role, re.sub(r"^\W+", "", name)) for role, name in nodes]


def test_names_are_text_whatever_they_are(tmp_path: Path, open_page: Callable[[Path], Shown]) -> None:
    evil = "</script><script>document.title='hit'</script><img src=http://a.invalid/>"
    names = NAMES.replace('"miss"', f'"{evil}"')
    made = Made(tmp_path / "t", 3, {**FACTS, "command": evil, "named_events": names})
    made.packet(Stream(5, 5, 0, "</script><b>"), [BEGIN, BEGIN + 5], [[5, 0, 0], [5, 1, 0]]).close()
    said("view", "t", directory=tmp_path)
    shown = open_page(tmp_path / "t.html")
    shown.tab.click(shown.x(0), shown.row(0))
    shown.tab.wait_for("document.querySelector('#page-details h2')")
    assert shown.text("h1") == evil
    assert evil in shown.text("#page-details")
    assert shown.tab.run("document.querySelectorAll('img, b:not(.tip b)').length") == 0
    assert shown.tab.run("document.title") == "t · hypertrace"


def test_a_trace_says_what_it_lacks(known: Path, open_page: Callable[[Path], Shown]) -> None:
    shown = open_page(known)
    shown.tab.run("(document.querySelector('#tab-trace').click(), null)")
    text = shown.text("#page-trace")
    assert "lost events\t12" in text
    assert "parse\t1 begins without an end" in text


@pytest.mark.parametrize("events", [0, 1])
def test_a_trace_of_hardly_anything(events: int, tmp_path: Path, open_page: Callable[[Path], Shown]) -> None:
    made = Made(tmp_path / "t")
    if events:
        made.packet(Stream(5, 5, 0, "app"), [BEGIN])
    made.close()
    done = hypertrace("view", "t", directory=tmp_path)
    assert done.stderr == ("" if events else "hypertrace: warning: t has no events: the page shows no events\n")
    shown = open_page(tmp_path / "t.html")
    assert f"{events} events" in shown.text("#subtitle")
    for key in (".", "+", "-", "f", "m", "n", "ArrowLeft", "0"):
        shown.tab.press(key)
    shown.settle()


def test_two_traces_side_by_side(tmp_path: Path, open_page: Callable[[Path], Shown]) -> None:
    trace_of_requests(tmp_path / "old", 4_000, threads=1)
    trace_of_requests(tmp_path / "new", 8_000, threads=2)
    said("view", "old", "--compare", "new", "-o", "both.html", directory=tmp_path)
    shown = open_page(tmp_path / "both.html")
    rows = shown.tab.run("[...document.querySelectorAll('#page-comparison tbody tr')].map((row) => row.innerText)")
    [request] = [row for row in rows if row.startswith("request")]
    # A span of the second trace contains the first event of a call site, which trapped, so it is left out.
    assert re.split(r"\s+", request)[1:3] == ["500", "999"]
    # All parses take the same time: one bar.
    picks = "[...document.querySelectorAll('#page-comparison .pick')]"
    shown.tab.run(f"({picks}.find((pick) => pick.innerText === 'parse').click(), null)")
    counts = shown.ask("page.comparison.histogram.shown.series.map(({ counts }) => counts)")
    assert counts == [[0, 0, 0, 0, 500, 0, 0, 0, 0], [0, 0, 0, 0, 1000, 0, 0, 0, 0]]
    shown.picture("comparison-light")
    shown.tab.press("t")
    shown.picture("comparison-dark")


def test_the_comparison_is_that_of_hypertrace_compare(tmp_path: Path, open_page: Callable[[Path], Shown]) -> None:
    """Durations are corrected for the cost of events, if both traces have a calibration."""
    for name, length in (("old", 136), ("new", 150)):
        calibration = [(pair, span) for _ in range(50) for pair, span in zip(PAIRS[:3], (38, 84, 134), strict=True)]
        times, args, now = [], [], BEGIN
        for pair, span in [*calibration, *((JOB, length + number % 5) for number in range(400))]:
            times += [now, now + span]
            args += [[pair.begin], [pair.end]]
            now += span + 100
        Made(tmp_path / name, 1, FACTS).packet(Stream(10, 10, 0, "main"), times, args).close()
    (tmp_path / "events.toml").write_text(
        'event = [{id = 1, name = "job", phase = "begin"}, {id = 2, name = "job", phase = "end"}]'
    )
    names = ("--events", "events.toml")
    told = hypertrace("compare", "old", "new", *names, "--json", "-", directory=tmp_path).stdout
    [expected] = json.loads(told)["spans"]
    said("view", "old", "--compare", "new", *names, "-o", "both.html", directory=tmp_path)
    [row] = open_page(tmp_path / "both.html").ask("page.comparison.comparison.rows")
    assert row["medians"] == [pytest.approx(102, abs=0.5), pytest.approx(116, abs=0.5)]
    assert row["medians"] == pytest.approx([expected[side]["median"] for side in ("a", "b")])
    ratio = expected["ratio"]
    assert row["ratio"] == pytest.approx(ratio["value"])
    assert row["verdict"] == expected["verdict"] == "no verdict"


def test_a_filter_chooses_what_is_shown(tmp_path: Path, open_page: Callable[[Path], Shown]) -> None:
    trace_of_requests(tmp_path / "t", 8_000)
    said("view", "t", "--event", "request", "--thread", "worker-*", directory=tmp_path)
    shown = open_page(tmp_path / "t.html")
    assert shown.ask("[...new Set(page.trace.names)]") == ["request"]
    assert shown.ask("page.state.layout.tracks.length") == 3


def test_it_is_opened_in_a_browser_if_wanted(tmp_path: Path) -> None:
    trace_of_requests(tmp_path / "t", 100)
    opened = tmp_path / "opened"
    environment = {"BROWSER": f"sh -c 'echo %s >{opened}'"}
    assert said("view", "t", "--open", directory=tmp_path, environment=environment) == "t.html\n"
    assert opened.read_text().strip() == (tmp_path / "t.html").as_uri()


def test_a_page_is_written_anew_and_nothing_else_is(tmp_path: Path) -> None:
    trace_of_requests(tmp_path / "t", 100)
    assert said("view", "t", directory=tmp_path) == said("view", "t", directory=tmp_path) == "t.html\n"
    (tmp_path / "notes.html").write_text("mine")
    assert "it exists and was not written by hypertrace view" in said(
        "view", "t", "-o", "notes.html", directory=tmp_path, status=125
    )
    assert (tmp_path / "notes.html").read_text() == "mine"
    assert said("view", "t", "-o", "/dev/stdout", directory=tmp_path).startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["nowhere"], "does not exist"),
        (["t", "-o", "."], "it is a directory"),
        (["t", "-o", "no/such.html"], "No such file or directory"),
        (["t", "-o", "/dev/full"], "No space left on device"),
        (["t", "--most", "0"], "must be at least 1"),
        (["t", "--most", "99"], "more than 99 events"),
        (["t", "--compare", "nowhere"], "nowhere is not a trace"),
        (["t", "--thread", "nobody"], "no thread 'nobody'"),
    ],
)
def test_bad_usage_is_told_in_one_line(tmp_path: Path, arguments: list[str], reason: str) -> None:
    trace_of_requests(tmp_path / "t", 100)
    assert reason in said("view", *arguments, directory=tmp_path, status=125)
