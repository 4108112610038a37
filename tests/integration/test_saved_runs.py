"""hypertrace compare on JSON of stat and bench, and on several files and directories for each side."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from htrun.commands.hypertrace import main
from tests.support.hypertrace import hypertrace
from tests.support.jobs import NAMES, trace_of_jobs

WITH_NAMES = ("--events", "events.toml")


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with five runs in a/ and five runs in b/, which are 20% slower. For each run there is a
    JSON file."""
    monkeypatch.chdir(tmp_path)
    Path("events.toml").write_text(NAMES)
    for side, level in (("a", 1000), ("b", 1200)):
        for run in range(5):
            trace_of_jobs(Path(side) / f"{run}", [level + 2 * run + number % 7 for number in range(100)])
            assert main(["stat", f"{side}/{run}", *WITH_NAMES, "--json", f"{side}{run}.json"]) == 0
    return tmp_path


Compare = Callable[..., dict[str, Any]]


@pytest.fixture
def compared(directory: Path, capsys: pytest.CaptureFixture[str]) -> Compare:
    def run(*words: str) -> dict[str, Any]:
        capsys.readouterr()
        assert main(["compare", *words, "--json", "-"]) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    return run


@pytest.fixture
def refused(directory: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def run(*words: str) -> str:
        capsys.readouterr()
        assert main(["compare", *words]) == 125
        out, line = capsys.readouterr()
        assert out == ""
        assert re.fullmatch(r"hypertrace: [^\n]+\n", line), line
        return line

    return run


def files(side: str, runs: int = 5) -> list[str]:
    return [f"{side}{run}.json" for run in range(runs)]


def test_saved_figures_are_compared_as_their_traces_are(compared: Compare) -> None:
    from_traces = compared("a", "b", *WITH_NAMES)
    assert compared(*files("a"), "--vs", *files("b")) == from_traces
    assert compared("a", "--vs", *files("b"), *WITH_NAMES) == from_traces
    several = compared(*(f"a/{run}" for run in range(5)), "--vs", "b/0", "b/1", "b/2", *files("b")[3:], *WITH_NAMES)
    assert several == from_traces
    [span] = from_traces["spans"]
    assert (span["verdict"], span["a"]["runs"], span["b"]["runs"]) == ("slower", 5, 5)


def test_one_run_a_side_has_no_verdict(compared: Compare) -> None:
    found = compared("a0.json", "b0.json")
    assert found == compared("a/0", "b/0", *WITH_NAMES)
    assert found["spans"][0]["verdict"] == "no verdict"
    assert compared(*files("a"), "--vs", "b0.json")["spans"][0]["verdict"] == "no verdict"


def test_names_are_chosen_in_saved_figures(compared: Compare, refused: Callable[..., str]) -> None:
    assert compared("a0.json", "b0.json", "--span", "j*")["spans"]
    assert "a0.json has no spans called 'x*'" in refused("a0.json", "b0.json", "--span", "x*")
    for option in (("--by", "thread"), ("--intervals",), ("--between", "job", "job"), ("--all",)):
        assert f"{option[0]}: JSON contains figures, not events" in refused("a0.json", "b0.json", *option)


def test_a_bench_is_compared_by_its_runs(directory: Path, compared: Compare) -> None:
    """Its JSON contains the same runs as its directory, and the runs of the whole program."""
    for name in ("one", "two"):
        words = ("bench", "--runs", "4", "--warmup", "0", "-o", name, "--json", f"{name}.json", "--", "true")
        hypertrace(*words, directory=directory)
    found = compared("one.json", "two.json")
    assert found["spans"] == []
    whole = found["whole_program"]
    assert (whole["a"]["runs"], whole["b"]["runs"], found["a"]["command"]) == (4, 4, "true")
    assert compared("one.json", "one.json")["whole_program"]["ratio"]["value"] == 1
    both = compared("one.json", "two.json", "--vs", "two.json", "one.json")
    assert both["whole_program"]["a"]["runs"] == 8
    assert both["whole_program"]["verdict"] != "slower"


def test_the_directory_of_a_bench_of_one_program(directory: Path, compared: Compare) -> None:
    for side in ("a", "b"):
        (directory / f"kept-{side}").mkdir()
        (directory / side).rename(directory / f"kept-{side}" / "a")
    assert compared("kept-a", "kept-b", *WITH_NAMES)["spans"][0]["verdict"] == "slower"


def test_runs_of_a_document_keep_their_numbers(directory: Path, compared: Compare) -> None:
    """A name that some runs lack has fewer runs, and the others are not shifted."""
    document = json.loads(Path("a0.json").read_text())
    [job] = document["spans"]
    [run] = job["runs"]
    job["runs"] = [{**run, "run": number} for number in (1, 2, 3)]
    rare = {**copy.deepcopy(job), "name": "rare", "group": "thread 1"}
    rare["runs"] = rare["runs"][1:]
    document["spans"].append(rare)
    Path("more.json").write_text(json.dumps(document))
    found = compared("more.json", "more.json")
    assert [(span["name"], span["a"]["runs"]) for span in found["spans"]] == [("job", 3), ("rare [thread 1]", 2)]
    assert found["geometric_mean"] is None


def test_what_is_doubtful_of_saved_runs_is_said(directory: Path, compared: Compare) -> None:
    document = json.loads(Path("a0.json").read_text())
    document["environment"]["hostname"] = "shed"
    document["lost"] = 3
    document["warnings"].append("its runs: different kernels: 1, 2")
    Path("other.json").write_text(json.dumps(document))
    warnings = compared("a0.json", "other.json")["warnings"]
    assert "A and B: different machines: box, shed" in warnings
    assert "B: 3 events were lost; spans across a loss are not counted" in warnings
    assert "the runs of B: different kernels: 1, 2" in warnings


def test_a_comparison_holds_both_of_its_sides(directory: Path, compared: Compare, refused: Callable[..., str]) -> None:
    found = compared("a", "b", *WITH_NAMES)
    Path("both.json").write_text(json.dumps(found))
    assert compared("both.json") == found
    assert compared("both.json", "--threshold", "50%")["spans"][0]["verdict"] == "same"
    assert "both sides: give no other path" in refused("both.json", "a0.json")
    assert "name the other side" in refused("a0.json")


def test_a_bench_of_two_programs_is_compared_again(directory: Path, compared: Compare) -> None:
    """With the runs of the whole programs, too."""
    short = ("bench", "--runs", "4", "--warmup", "0", "--json", "both.json", "-o", "kept")
    hypertrace(*short, "--vs", "sh -c :", "--", "true", directory=directory)
    saved = json.loads(Path("both.json").read_text())
    found = compared("both.json")
    # Only the bench has run something, in the order of its seed.
    assert isinstance(saved.pop("seed"), int)
    assert found == saved
    assert (found["a"]["command"], found["b"]["command"]) == ("true", "sh -c :")
    assert found["whole_program"]["a"]["runs"] == 4


def test_matrices_are_compared_cell_by_cell(directory: Path, compared: Compare) -> None:
    Path("matrix.toml").write_text('[[program]]\nname = "nothing"\ncommand = "true"\n[[emulator]]\nname = "native"\n')
    for day in ("monday", "tuesday"):
        short = ("bench", "--runs", "4", "--warmup", "0", "--json", f"{day}.json")
        hypertrace(*short, "--matrix", "matrix.toml", "-o", day, directory=directory)
    found = compared("monday.json", "tuesday.json")
    [span] = found["spans"]
    assert (span["name"], span["a"]["runs"], span["b"]["runs"]) == ("nothing@native (program)", 4, 4)
    assert span["a"]["median"] == json.loads(Path("monday.json").read_text())["cells"][0]["spans"][0]["center"]


def changed(**fields: object) -> Callable[[dict[str, Any]], None]:
    return lambda document: document.update(fields)


def in_run(key: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda document: document["spans"][0]["runs"][0].update({key: value})


def in_median(key: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda document: document["spans"][0]["runs"][0]["raw"].update({key: value})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (changed(version=2), "bad.json has version 2; this hypertrace reads version 1"),
        (changed(spans=3), "spans is not a list"),
        (changed(spans=[3]), "spans is not an object"),
        (changed(spans=[]), "bad.json holds no spans"),
        (changed(source=None), "source is not a string"),
        (changed(environment=[]), "environment is not an object"),
        (changed(lost="none"), "lost is not a number"),
        (changed(whole_program={"runs": 3}), "bad.json does not contain the results of each run: create it again"),
        (changed(whole_program={"each": []}), "runs of no length"),
        (changed(whole_program={"each": [{"wall": 0, "user": 0, "system": 0}]}), "runs of no length"),
        (in_run("run", 0), "run 0"),
        (in_run("run", 1.5), "run is not a number from 0 up"),
        (in_run("count", None), "count is not a number"),
        (in_run("raw", None), "runs is not an object"),
        (in_median("median", "1"), "median is not a number"),
        (in_median("median", True), "median is not a number"),
        (in_median("low", 1e9), "a median of"),
        (in_median("median", float("nan")), "NaN is not JSON"),
        (
            lambda document: document["spans"][0].pop("runs"),
            "bad.json does not contain the results of each run: create it again",
        ),
        (lambda document: document.pop("source"), "bad.json contains no runs: give the JSON of hypertrace stat"),
        (lambda document: document.pop("version"), "it has no version"),
    ],
)
def test_bad_json_is_refused(
    directory: Path, refused: Callable[..., str], change: Callable[[dict[str, Any]], None], words: str
) -> None:
    document = json.loads(Path("a0.json").read_text())
    change(document)
    Path("bad.json").write_text(json.dumps(document))
    for sides in (("bad.json", "b0.json"), ("b0.json", "bad.json")):
        line = refused(*sides)
        assert words in line
        assert "bad.json" in line


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "neither a trace nor JSON"),
        (b"\xff", "neither a trace nor JSON"),
        (b"[1]", "it has no version"),
        (b"[" * 100_000, "neither a trace nor JSON"),
        (b'{"version": 1}', "contains no runs"),
    ],
)
def test_what_is_no_json_of_ours_is_refused(refused: Callable[..., str], content: bytes, words: str) -> None:
    Path("bad.json").write_bytes(content)
    assert f"bad.json {'contains' if words == 'contains no runs' else 'is'}" in refused("bad.json", "a0.json")
    assert words in refused("bad.json", "a0.json")


def test_sides_must_be_clear(refused: Callable[..., str]) -> None:
    assert "3 paths are given: write --vs between the paths of A and the paths of B" in refused(*files("a", 3))
    assert "a0.json is given twice on one side" in refused("b", "--vs", "a0.json", "a0.json")
    assert "a/0 is given twice on one side" in refused("a/0", "a/../a/0", "--vs", "b")
    assert "nowhere does not exist" in refused("nowhere", "a0.json")
    assert "expected at least one argument" in refused("a", "--vs")


def test_standard_input_is_a_file(directory: Path) -> None:
    document = Path("a0.json").read_text()
    done = hypertrace("compare", "-", "b0.json", "--csv", "-", directory=directory, stdin=document)
    assert done.stdout == hypertrace("compare", "a0.json", "b0.json", "--csv", "-", directory=directory).stdout
