"""The documentation as a site is complete and accessible, is built without warnings, and loads nothing from other
sites."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from threading import Thread

import pytest

from htrun.commands.hypertrace import parsers
from htrun.commands.options import HELP
from tests.support.browser import Tab, browser
from tests.support.run import HTRUN
from tests.support.toolchain import ROOT

pytestmark = pytest.mark.heavy("the site is built, with a run of the example server, and opened in a browser")
SCREENSHOTS = ROOT / "build" / "screenshots"
PAGES = ("index.html", "demo.html", "recipes.html", "reference/hypertrace.html", "comparison.html")
AXE = """
axe.run(document, {iframes: false}).then((found) => found.violations
    .filter((each) => ["serious", "critical"].includes(each.impact))
    .map((each) => `${each.id}: ${each.nodes.map((node) => node.html).slice(0, 3).join(" ")}`))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, as make docs builds it."""
    directory = tmp_path_factory.mktemp("docs") / "site"
    command: list[str | Path] = [HTRUN.with_name("mkdocs"), "build", "--strict", "--site-dir", directory]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if line.startswith("WARNING")] == []
    return directory


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """Of a server of the site."""
    handler = partial(Quiet, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class Quiet(SimpleHTTPRequestHandler):
    """Serves files without a log."""

    def log_message(self, *words: object) -> None:
        """Drop it."""


def visit(tab: Tab, address: str) -> None:
    """Open a page and wait until all of it has been read."""
    tab.call("Page.navigate", url=address)
    tab.wait_for("document.readyState === 'complete'")


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    """A page of a browser."""
    with browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


class Loaded(HTMLParser):
    """The addresses of other sites from which a page loads something. Links that a reader may follow are not
    included."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it."""
        values = dict(attrs)
        address = values.get("href") if tag == "link" else values.get("src")
        if tag not in ("a", "link") or (tag == "link" and values.get("rel") != "canonical"):
            self.found += [address] if address and re.match(r"(https?:)?//", address) else []


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 15
    for page in pages:
        loaded = Loaded()
        loaded.feed(page.read_text())
        assert loaded.found == [], page
    assert [style for style in site.rglob("*.css") if re.search(r"url\(.?https?:", style.read_text())] == []


def test_the_reference_has_every_option_and_every_schema(site: Path) -> None:
    verbs = text_of(site / "reference" / "hypertrace.html")
    options = {word for verb in parsers()[1].values() for word in verb._option_string_actions}
    assert [option for option in sorted(options) if option not in verbs] == []
    htrun = text_of(site / "reference" / "htrun.html")
    options = set(re.findall(r"^  (-\S+)", HELP, re.MULTILINE))
    assert len(options) > 20
    assert [option for option in sorted(options) if option.rstrip(",").partition("[")[0] not in htrun] == []
    schemas = resources.files("htrun.reports").joinpath("schemas").iterdir()
    assert [each.name for each in schemas if each.name not in text_of(site / "reference" / "json.html")] == []


def text_of(page: Path) -> str:
    """The words of a page."""
    return re.sub(r"<[^>]*>", "", page.read_text())


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_are_accessible(address: str, tab: Tab, scheme: str) -> None:
    """axe-core finds no serious problem. Screenshots are kept as artefacts."""
    axe = resources.files("axe_core_python").joinpath("axe.min.js").read_text()
    tab.prefer(scheme)
    serious: dict[str, list[str]] = {}
    for page in PAGES:
        visit(tab, f"{address}/{page}")
        tab.run(f"{axe}; null")
        serious[page] = tab.run(AXE)
        tab.screenshot(SCREENSHOTS / f"site-{Path(page).stem}-{scheme}.png")
    assert serious == {page: [] for page in PAGES}
    assert tab.errors == []


@pytest.mark.parametrize("place", ["server", "disk"])
def test_the_search_finds_an_option(site: Path, address: str, tab: Tab, place: str) -> None:
    visit(tab, f"{address if place == 'server' else site.as_uri()}/index.html?q=fail-on")
    tab.wait_for("document.querySelector('.md-search-result__link[href*=\"hypertrace.html\"]') !== null")


def test_the_demo_is_a_live_time_line(site: Path, tab: Tab) -> None:
    tab.open(site / "timeline.html")
    assert tab.run("window.hypertrace.then((page) => page.trace.count)") > 2000
    shown = text_of(site / "images" / "slowest.svg")
    assert "lock_wait" in shown.replace("&#160;", " ")


@pytest.mark.parametrize(("name", "words"), [("slowest", "meanwhile:"), ("top", "latest events")])
def test_casts_show_one_screen_after_the_other(site: Path, tab: Tab, name: str, words: str) -> None:
    visit(tab, (site / "images" / f"{name}.svg").as_uri())
    assert tab.run("document.querySelectorAll('.frame').length") > 3
    visible = (
        "[...document.querySelectorAll('.frame')].filter((each) => getComputedStyle(each).visibility === 'visible')"
    )
    for part in (0.01, 0.5, 0.99):
        pause = f"each.pause(), each.currentTime = {part} * each.effect.getComputedTiming().duration"
        tab.run(f"document.getAnimations().forEach((each) => {{ {pause}; }})")
        assert tab.run(f"{visible}.length") == 1, part
    assert words in tab.run(f"{visible}[0].textContent").replace("\xa0", " ")
