"""Conventions of command lines: ``-`` for standard input and output, ``--force``, hints for mistakes."""

from __future__ import annotations

import csv
import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.support.hypertrace import HYPERTRACE, hypertrace, said
from tests.support.jobs import NAMES, trace_of_jobs
from tests.support.run import HTRUN
from tests.support.toolchain import Toolchain

GUESTS = Path(__file__).parent / "guests"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with the trace ``t``."""
    (tmp_path / "events.toml").write_text(NAMES)
    trace_of_jobs(tmp_path / "t", [1000] * 5)
    return tmp_path


def test_a_dash_is_standard_output(directory: Path, toolchain: Toolchain) -> None:
    lines = said("convert", "t", "-", "--format", "csv", directory=directory).splitlines()
    assert len(list(csv.reader(lines))) == 11
    assert said("view", "t", "-o", "-", directory=directory).startswith("<!DOCTYPE html>")
    assert not (directory / "-").exists()
    guest = toolchain.compile(GUESTS / "timed_jobs.c")
    for options, shown in (
        (("-o", "-", "--format", "jsonl"), '"guest_hypertrace"'),
        (("-D", "-"), ":guest_hypertrace "),
        (("--summary", "-", "-q", "-D", "/dev/null"), '"exit_status": 0'),
    ):
        done = subprocess.run([HTRUN, *options, "--", guest], cwd=directory, capture_output=True, text=True, check=True)
        assert done.stderr == ""
        assert shown in done.stdout
    assert not (directory / "-").exists()


@pytest.mark.parametrize(
    ("words", "file", "shown"),
    [
        (("header", "-"), "events.toml", "trace_job_begin"),
        (("header", "-", "-o", "-"), "events.toml", "trace_job_begin"),
        (("stat", "t", "--no-histograms", "--events", "-"), "events.toml", "\njob "),
        (("compare", "t", "t2", "--events", "-"), "events.toml", "job"),
        (("info", "t", "--guest-formats", "-"), "format", "guest_hypertrace"),
        (("compare", "-", "--vs", "run.json"), "run.json", "job"),
    ],
)
def test_a_dash_is_standard_input(directory: Path, words: tuple[str, ...], file: str, shown: str) -> None:
    trace_of_jobs(directory / "t2", [1000] * 5)
    (directory / "format").write_text('name: one\nID: 1\nformat:\n\nprint fmt: ""\n')
    said("stat", "t", "--events", "events.toml", "--json", "run.json", directory=directory)
    assert shown in hypertrace(*words, directory=directory, stdin=(directory / file).read_text()).stdout
    assert not (directory / "-").exists()


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ((HTRUN, "--events", "-", "true"), "--events -: standard input belongs to the program; give a file"),
        ((HYPERTRACE, "bench", "--events", "-", "--", "true"), "--events -: standard input belongs to the program"),
        ((HYPERTRACE, "bench", "-o", "-", "--", "true"), "--output -: traces are kept in a directory"),
    ],
)
def test_a_dash_that_cannot_be_meant_is_refused(directory: Path, command: tuple[str, ...], reason: str) -> None:
    done = subprocess.run(command, cwd=directory, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (125, "")
    assert reason in done.stderr
    assert not (directory / "-").exists()


@pytest.mark.parametrize(
    "words", [("convert", "many", "-", "--format", "csv"), ("view", "many", "-o", "-"), ("print", "many")]
)
def test_a_reader_that_has_seen_enough_gets_no_error(directory: Path, words: tuple[str, ...]) -> None:
    """As with cat: the exit status is that of SIGPIPE."""
    trace_of_jobs(directory / "many", [1000] * 5000)
    process = subprocess.Popen([HYPERTRACE, *words], cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(1)
    process.stdout.close()
    assert (process.stderr.read(), process.wait()) == (b"", 141)
    process.stderr.close()


def test_a_dash_needs_a_format(directory: Path) -> None:
    assert "needs a --format" in said("convert", "t", "-", status=125, directory=directory)


@pytest.mark.parametrize("name", ["t.xml", "t.Parquet", "a.b/t.perf"])
def test_an_unknown_suffix_makes_no_directory(directory: Path, name: str) -> None:
    words = said("convert", "t", name, status=125, directory=directory)
    assert f"no format has the suffix {Path(name).suffix}" in words
    done = subprocess.run([HTRUN, "-o", name, "true"], cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 125
    assert "give --format (ctf for a directory in the native format), or one of .log" in done.stderr
    assert not (directory / name).exists()


def test_a_version_is_not_a_suffix(directory: Path) -> None:
    subprocess.run([HTRUN, "-o", "trace-9.1", "true"], cwd=directory, check=True)
    assert (directory / "trace-9.1" / "metadata").exists()


def test_an_output_is_replaced_if_forced(directory: Path) -> None:
    said("convert", "t", "t.csv", directory=directory)
    words = said("convert", "t", "t.csv", status=125, directory=directory)
    assert "it exists; give another, or -f to replace it" in words
    before = (directory / "t.csv").read_text()
    said("convert", "t", "t.csv", "--force", directory=directory)
    assert (directory / "t.csv").read_text() == before
    for outputs in (("-o", "t"), ("-o", "t", "-o", "t.csv")):
        done = subprocess.run([HTRUN, *outputs, "true"], cwd=directory, capture_output=True, text=True, check=False)
        assert (done.returncode, "-f to replace" in done.stderr) == (125, True)
        assert (directory / "t.csv").read_text() == before
    subprocess.run([HTRUN, "-f", *outputs, "true"], cwd=directory, check=True)
    assert json.loads(said("info", "t", "--json", directory=directory))["events"] == 0
    (directory / "page").write_text("mine")
    said("view", "t", "-o", "page", status=125, directory=directory)
    hypertrace("view", "t", "-f", "-o", "page", directory=directory)
    assert "<!DOCTYPE html>" in (directory / "page").read_text()


def test_force_removes_nothing_but_traces(directory: Path) -> None:
    (directory / "mine").mkdir()
    (directory / "mine" / "letter").write_text("dear")
    done = subprocess.run(
        [HTRUN, "-f", "-o", "mine", "true"], cwd=directory, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (
        125,
        "htrun: cannot replace mine: it is not a trace; give another path, or remove it\n",
    )
    assert (directory / "mine" / "letter").read_text() == "dear"


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("statt", "t"), "there is no verb 'statt'; did you mean stat? try"),
        (("compare", "t", "t", "--fail-om", "+5%"), "did you mean --fail-on? try"),
        (("stat", "t", "--output", "x"), "unrecognized arguments: --output x; try: hypertrace stat --help"),
        (("stat", "t", "--outliars"), "did you mean --outliers? try: hypertrace stat --help"),
        (("quux",), "there is no verb 'quux'; try"),
    ],
)
def test_mistakes_get_a_hint(directory: Path, words: tuple[str, ...], hint: str) -> None:
    assert hint in said(*words, status=125, directory=directory)


@pytest.mark.parametrize(
    ("option", "hint"),
    [
        ("--sumary=x", "unknown option --sumary; did you mean --summary? try: htrun --help"),
        ("-p", "htrun traces only what it starts"),
        ("-e", "htrun knows trace=NAME,... only"),
    ],
)
def test_mistakes_in_a_run_get_a_hint(option: str, hint: str) -> None:
    done = subprocess.run([HTRUN, option, "fault=1", "true"], capture_output=True, text=True, check=False)
    assert done.returncode == 125
    assert hint in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("columns", [50, 100])
def test_help_fits_the_terminal(columns: int) -> None:
    environment = {**os.environ, "COLUMNS": str(columns)}
    for words in (("help", "compare"), ("compare", "--help")):
        text = said(*words, environment=environment)
        prose = [line for line in text.splitlines() if line and not line.startswith(" ")]
        assert max(map(len, prose)) <= columns
        assert max(map(len, prose)) > columns - 15
    assert "  hypertrace compare before after\n" in said("help", "compare", environment=environment)


def test_names_of_hyperfine(directory: Path) -> None:
    files = ("--export-json", "f.json", "--export-markdown", "f.md", "--export-csv", "f.csv")
    hypertrace("bench", "-r", "2", "-w", "0", *files, "--", "true", directory=directory)
    assert json.loads((directory / "f.json").read_text())["whole_program"]["runs"] == 2
    assert (directory / "f.md").read_text().startswith("|")
    assert (directory / "f.csv").read_text()


def test_two_programs_are_never_one_with_an_argument(directory: Path) -> None:
    words = said("bench", "-r", "1", "-w", "0", "true", "false", status=125, directory=directory)
    assert "put -- before a program with arguments, or give --vs COMMAND to compare two" in words


def test_verbs_that_run_htrun_pass_on_whether_it_reads_files(directory: Path) -> None:
    (directory / "htrun.toml").write_text("[htrun]\nnonsense = 1\n")
    for words in (("bench", "-r", "1", "-w", "0", "--no-whole"), ("top",)):
        shown = hypertrace(*words, "--", "true", status=125, directory=directory)
        assert "htrun.toml: [htrun] nonsense: there is no such option" in shown.stdout + shown.stderr
    hypertrace("bench", "-r", "1", "-w", "0", "--no-config", "--", "true", directory=directory)
    hypertrace("top", "--no-config", "--", "true", directory=directory)
