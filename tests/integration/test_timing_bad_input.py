"""The messages of stat, compare, view and bench for traces without times, with too few, or with times that are not
comparable."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from htrun.commands.hypertrace import main
from htrun.events.calibration import PAIRS
from tests.support.jobs import BEGIN, MAIN, NAMES, trace_of_jobs
from tests.support.toolchain import Toolchain
from tests.unit.analysis.made import Made

GUESTS = Path(__file__).parent / "guests"
OTHER = 7
"""An event that neither begins nor ends a span."""
WITH_NAMES = ("--events", "events.toml")


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    """A directory with traces: jobs; one (a single job); none (an event that is no job); halves (begins without ends);
    torn (a job whose middle is lost); lost (only losses); empty; later (an unknown version)."""
    (tmp_path / "events.toml").write_text(NAMES)
    trace_of_jobs(tmp_path / "jobs")
    trace_of_jobs(tmp_path / "one", [500])
    Made(tmp_path / "none", num_args=1).packet(MAIN, [BEGIN], [[OTHER]]).close()
    Made(tmp_path / "halves", num_args=1).packet(MAIN, [BEGIN, BEGIN + 5], [[1], [1]]).close()
    torn = Made(tmp_path / "torn", num_args=1).packet(MAIN, [BEGIN], [[1]])
    torn.packet(MAIN, [BEGIN + 100], [[2]], discarded=3).close()
    Made(tmp_path / "lost", num_args=1).packet(MAIN, [], discarded=30).close()
    Made(tmp_path / "empty", num_args=1).close()
    later = tmp_path / "later"
    later.mkdir()
    (later / "metadata").write_text('env { tracer_name = "htrun"; htrun_version = "9.9"; };')
    return tmp_path


@dataclass(frozen=True)
class Verbs:
    """Runs hypertrace in this process, in the directory of the traces: separate processes would take most of the
    time."""

    capture: pytest.CaptureFixture[str]

    def run(self, *arguments: str | Path, status: int = 0) -> tuple[str, str]:
        """Its standard output and standard error; it must exit with ``status``."""
        self.capture.readouterr()
        assert main([str(each) for each in arguments]) == status
        return self.capture.readouterr()

    def fails(self, *arguments: str | Path) -> str:
        """The one line on standard error when it fails."""
        out, line = self.run(*arguments, status=125)
        assert out == ""
        assert re.fullmatch(r"hypertrace: [^\n]+\n", line), line
        return line

    def told(self, *arguments: str | Path) -> tuple[dict[str, Any], str]:
        """The JSON of a verb, and its warnings."""
        out, warnings = self.run(*arguments, *WITH_NAMES, "--json", "-")
        found: dict[str, Any] = json.loads(out)
        return found, warnings


@pytest.fixture
def verbs(traces: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Verbs:
    monkeypatch.chdir(traces)
    return Verbs(capfd)


WORDS = {
    "none": "has no spans that match",
    "halves": "has no spans: 2 begins and ends without a partner",
    "torn": "has no complete spans: 2 begins and ends are next to losses",
    "lost": "has no events: all 30 were lost",
    "empty": "has no events",
    "later": "another version of htrun (9.9)",
    "nowhere": "it does not exist",
}


@pytest.mark.parametrize("name", WORDS)
def test_stat_says_why_there_is_nothing_to_tell(verbs: Verbs, name: str) -> None:
    words = verbs.fails("stat", name, *WITH_NAMES)
    assert name in words
    assert WORDS[name] in words


@pytest.mark.parametrize("name", sorted(WORDS.keys() - {"nowhere"}))
@pytest.mark.parametrize("place", [0, 1])
def test_compare_says_which_side_has_nothing_and_why(verbs: Verbs, name: str, place: int) -> None:
    sides = ("jobs", name) if place else (name, "jobs")
    words = verbs.fails("compare", *sides, *WITH_NAMES)
    assert f"{name} " in words
    assert WORDS[name] in words


@pytest.mark.parametrize("name", ["later", "nowhere"])
def test_view_makes_no_page_of_what_it_cannot_read(verbs: Verbs, traces: Path, name: str) -> None:
    assert WORDS[name] in verbs.fails("view", name, "-o", "page.html")
    assert not (traces / "page.html").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("lost",), "lost has no events: all 30 were lost"),
        (("empty",), "empty has no events"),
        (("jobs", "--from", "5"), "jobs has no events that match"),
    ],
)
def test_view_says_why_a_page_is_empty(verbs: Verbs, traces: Path, arguments: Sequence[str], words: str) -> None:
    out, errors = verbs.run("view", *arguments, "-o", "page.html")
    assert (out, errors) == ("page.html\n", f"hypertrace: warning: {words}: the page shows no events\n")
    assert (traces / "page.html").exists()


def test_view_says_which_of_two_has_nothing_to_compare(verbs: Verbs, traces: Path) -> None:
    _, errors = verbs.run("view", "jobs", "--compare", "none", *WITH_NAMES, "-o", "page.html")
    assert errors == "hypertrace: warning: none has no spans to compare\n"
    assert (traces / "page.html").exists()
    assert WORDS["later"] in verbs.fails("view", "jobs", "--compare", "later")


def test_of_one_sample_no_interval_is_told(verbs: Verbs, traces: Path) -> None:
    [span] = verbs.told("stat", "one")[0]["spans"]
    raw = span["raw"]
    assert (raw["median"], raw["median_low"], raw["median_high"], raw["p90"]) == (500, None, None, None)
    assert (span["modes"], span["drift"], span["outliers"]) == ([], None, {"mild": 0, "severe": 0})
    files = ("--csv", "spans.csv", "--markdown", "spans.md", "--pyperf", "spans.json")
    verbs.run("stat", "one", *WITH_NAMES, *files)
    head, row = (line.split(",") for line in (traces / "spans.csv").read_text().splitlines())
    assert (row[head.index("median_low")], row[head.index("median_high")]) == ("", "")
    assert re.search(r"\| job +\| 1 \| 500 ns \|  \|", (traces / "spans.md").read_text())
    text, _ = verbs.run("stat", "one", *WITH_NAMES)
    assert "one sample only" in text
    assert re.search(r"^job +1 +500 ns +500 ns +500 ns +- ", text, re.MULTILINE)


def test_of_a_few_samples_it_is_told_how_little_their_range_says(verbs: Verbs, traces: Path) -> None:
    trace_of_jobs(traces / "three", [500, 510, 520])
    text, _ = verbs.run("stat", "three", *WITH_NAMES)
    assert "3 samples only: their whole range holds the median with 75%" in text


@pytest.mark.parametrize("sides", [("one", "jobs"), ("jobs", "one"), ("one", "one")])
def test_nothing_is_concluded_from_one_sample(verbs: Verbs, sides: tuple[str, str]) -> None:
    report, warnings = verbs.told("compare", *sides, "--fail-on", "+1%")
    [span] = report["spans"]
    assert (span["ratio"]["low"], span["ratio"]["high"], span["verdict"]) == (None, None, "no verdict")
    for name, side in zip("AB", sides, strict=True):
        assert (f"{name} has one sample only of job" in warnings) == (side == "one")
    assert "no verdict" in verbs.run("compare", *sides, *WITH_NAMES)[0]


UNLIKE: Sequence[tuple[dict[str, Any], str]] = [
    ({"clock": "monotonic"}, "different clocks: tsc, monotonic"),
    ({"facts": {"htrun_version": "0.0.9"}}, "different versions of htrun: 1.0.0, 0.0.9"),
    ({"facts": {"hostname": "shed"}}, "different machines: box, shed"),
    ({"facts": {"emulator": "qemu-x86_64"}}, "different emulators: none, qemu-x86_64"),
]


@pytest.mark.parametrize(("unlike", "words"), UNLIKE, ids=[words.split(":")[0] for _, words in UNLIKE])
def test_traces_that_are_unlike_are_compared_with_a_warning(
    verbs: Verbs, traces: Path, unlike: dict[str, Any], words: str
) -> None:
    trace_of_jobs(traces / "unlike", **unlike)
    report, warnings = verbs.told("compare", "jobs", "unlike")
    assert f"hypertrace: warning: A and B: {words}\n" in warnings
    assert f"A and B: {words}" in report["warnings"]
    # The same if they are the runs of one side.
    for name in ("first", "second"):
        trace_of_jobs(traces / "runs" / name, **({} if name == "first" else unlike))
    report, warnings = verbs.told("compare", "runs", "runs")
    assert f"the runs of A: {words}" in report["warnings"]
    assert f"hypertrace: warning: the runs of B: {words}\n" in warnings
    # The page shows it as well.
    verbs.run("view", "jobs", "--compare", "unlike", *WITH_NAMES, "-o", "page.html")
    assert f"A and B: {words}" in (traces / "page.html").read_text()


def test_traces_that_are_alike_are_compared_without(verbs: Verbs, traces: Path) -> None:
    trace_of_jobs(traces / "alike")
    report, _ = verbs.told("compare", "jobs", "alike")
    assert not [line for line in report["warnings"] if "different" in line]


def test_runs_of_one_bench_that_are_unlike_are_told(verbs: Verbs, traces: Path, toolchain: Toolchain) -> None:
    """A bench that continues a bench that was started on another machine."""
    guest = toolchain.compile(GUESTS / "timed_jobs.c")
    bench = ("bench", "--no-whole", "--warmup", "0", *WITH_NAMES, "-o", "kept")
    verbs.run(*bench, "--runs", "1", "--", guest)
    trace_of_jobs(traces / "kept" / "a" / "run-002", facts={"hostname": "shed"}, clock="monotonic")
    _, errors = verbs.run(*bench, "--runs", "2", "--", guest)
    assert re.search(r"^hypertrace: warning: its runs: different machines: .*, shed$", errors, re.MULTILINE)
    assert "hypertrace: warning: its runs: different clocks: tsc, monotonic\n" in errors


@pytest.mark.parametrize("vs", [(), ("--vs", "true")])
def test_bench_says_why_a_program_has_no_spans(verbs: Verbs, toolchain: Toolchain, vs: Sequence[str]) -> None:
    bench = ("bench", "--no-whole", "--runs", "1", "--warmup", "0", *vs)
    _, errors = verbs.run(*bench, *WITH_NAMES, "--", "true", status=125)
    assert errors == "hypertrace: true has no events\n"
    guest = toolchain.compile(GUESTS / "timed_jobs.c")
    _, errors = verbs.run(*bench, "--", guest, status=125)
    assert re.search(r"timed_jobs has no spans: its events have no names; give some with --events FILE", errors)


def test_calibration_is_nowhere_told_as_if_it_were_the_users(verbs: Verbs, traces: Path) -> None:
    calibration = [[each] for pair in PAIRS for each in (pair.begin, pair.end)] * 66
    args = [*calibration, [1], [2], [1], [2]]
    times = [BEGIN + 100 * number for number in range(len(args))]
    Made(traces / "calibrated", num_args=1).packet(MAIN, times, args).close()
    for verb in (("stat", "calibrated"), ("compare", "calibrated", "calibrated")):
        [span] = verbs.told(*verb)[0]["spans"]
        assert span["name"] == "job"
    verbs.run("view", "calibrated", "--compare", "calibrated", *WITH_NAMES, "-o", "page.html")
    assert "calibration" not in (traces / "page.html").read_text()
    # An event without its partner is not reported, and there is no interval between two such events.
    Made(traces / "half", num_args=1).packet(MAIN, times[:3], [[1], [2], [PAIRS[0].begin]]).close()
    assert verbs.told("stat", "half")[0]["unpaired"] == {}
    names = [span["name"] for span in verbs.told("stat", "calibrated", "--intervals")[0]["spans"]]
    assert names == ["job:begin", "job:end"]
