"""hypertrace bench reports how long whole programs take without htrun, with or without spans, and compares them."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from htrun.benchmark.alone import measure
from tests.support.documents import fenced
from tests.support.hypertrace import HYPERTRACE, hypertrace, said
from tests.support.toolchain import ROOT, Toolchain

BENCH = ROOT / "bench"
RUNS = 5
SLEPT, BUSY = 0.02, 0.03
"""Seconds that the program sleeps."""
SLEPT_LONG = 0.5
"""Seconds: far more than a busy machine adds to a short run."""
BUSY_PROGRAM = f"import time\nwhile time.process_time() < {BUSY}: pass\n"
FIGURES = {"mean", "stddev", "median", "median_low", "median_high", "min", "max", "total", "mad", "iqr"}


def bench(directory: Path, *arguments: str, status: int = 0) -> dict[str, Any]:
    """The JSON of `RUNS` runs."""
    command = ("bench", "--runs", str(RUNS), "--warmup", "0", "--json", "-", *arguments)
    told: dict[str, Any] = json.loads(hypertrace(*command, status=status, directory=directory).stdout)
    return told


def test_wall_time_and_the_processors_are_told(tmp_path: Path) -> None:
    """Times of a program that waits, and of one that works in a child process: no run may be shorter."""
    program = bench(tmp_path, "--", "sleep", str(SLEPT))["whole_program"]
    assert program["runs"] == RUNS
    assert program["wall"]["min"] >= SLEPT * 1e9
    assert program["user"]["max"] < program["wall"]["min"]
    program = bench(tmp_path, "--", "sh", "-c", f"{sys.executable} -c '{BUSY_PROGRAM}'; true")["whole_program"]
    used = program["user"]["mean"] + program["system"]["mean"]
    assert BUSY * 1e9 <= used <= program["wall"]["mean"] * 1.1
    for kind in ("wall", "user", "system"):
        assert program[kind].keys() >= FIGURES
        assert program[kind]["min"] <= program[kind]["mean"] <= program[kind]["max"]


def test_a_program_of_spans_is_told_in_both_ways_in_every_form(tmp_path: Path, toolchain: Toolchain) -> None:
    guest = toolchain.compile(BENCH / "guests" / "hash_spans.c", flags=(str(BENCH / "hash.c"),))
    [names] = fenced("timing.md", "toml")
    (tmp_path / "names.toml").write_text(names)
    files = ("--csv", "told.csv", "--markdown", "told.md", "--pyperf", "told.json")
    told = bench(tmp_path, "--all", "--events", "names.toml", *files, "--", str(guest), "100", "30")
    [span], program = told["spans"], told["whole_program"]
    assert (span["name"], span["count"], program["runs"]) == ("job", 30 * RUNS, RUNS)
    rows = list(csv.DictReader((tmp_path / "told.csv").read_text().splitlines()))
    assert [(row["name"], row["kind"], row["count"]) for row in rows] == [
        *[("(program)", kind, str(RUNS)) for kind in ("wall", "user", "system")],
        *[("job", kind, str(30 * RUNS)) for kind in ("raw", "corrected")],
    ]
    assert float(rows[0]["median"]) == program["wall"]["median"]
    markdown = (tmp_path / "told.md").read_text()
    assert "| program | runs |" in markdown
    assert "| span | count |" in markdown
    benchmarks = json.loads((tmp_path / "told.json").read_text())["benchmarks"]
    assert [each["metadata"]["name"] for each in benchmarks] == ["(program)", "job"]
    assert min(benchmarks[0]["runs"][0]["values"]) == pytest.approx(program["wall"]["min"] / 1e9)


def test_a_program_without_spans_is_told_for_people(tmp_path: Path) -> None:
    done = hypertrace("bench", "--runs", "2", "--", "true", directory=tmp_path)
    head, wall, user, system = (line.split() for line in done.stdout.splitlines() if line)
    assert head == ["program", "runs", "mean", "sigma", "median", "95%", "min", "max"]
    assert [line[:2] for line in (wall, user, system)] == [["wall", "2"], ["user", "2"], ["system", "2"]]
    assert "only the whole program was timed: it has no events" in done.stderr
    # A single run has no standard deviation.
    assert bench(tmp_path, "--runs", "1", "--", "true")["whole_program"]["wall"]["stddev"] is None
    _, of_one, *_ = hypertrace("bench", "--runs", "1", "--", "true", directory=tmp_path).stdout.split("\n")[1:]
    assert re.fullmatch(r"wall +1 +\S+ .s +- +\S+ .s +- .*", of_one)


@pytest.mark.heavy("many runs; two commands of spans are compared, too")
def test_two_programs_without_spans_are_compared(tmp_path: Path) -> None:
    """The interval is of five runs each, so the times are chosen far apart."""
    slower = ("--vs", f"sleep {SLEPT_LONG}", "--", "sleep", str(SLEPT))
    told = bench(tmp_path, "--fail-on", "+50%", *slower, status=3)
    assert (told["spans"], told["geometric_mean"]) == ([], None)
    program = told["whole_program"]
    assert (program["name"], program["verdict"]) == ("(program)", "slower")
    walls = told["a"]["whole_program"]["wall"]
    assert walls["min"] <= program["a"]["median"] <= walls["max"]
    assert program["ratio"]["value"] == pytest.approx(program["b"]["median"] / program["a"]["median"])
    assert program["ratio"]["low"] > 1
    faster = ("--vs", "true", "--", "sleep", str(SLEPT_LONG))
    assert bench(tmp_path, "--fail-on", "+5%", *faster)["whole_program"]["verdict"] == "faster"


def test_a_matrix_of_programs_without_spans(tmp_path: Path) -> None:
    (tmp_path / "matrix.toml").write_text(
        '[[program]]\nname = "rest"\ncommand = "sleep {seconds}"\n'
        f'[[emulator]]\nname = "short"\nseconds = {SLEPT}\n[[emulator]]\nname = "long"\nseconds = {SLEPT_LONG}\n'
    )
    command = ("bench", "--runs", str(RUNS), "--warmup", "0", "--matrix", "matrix.toml", "-o", "kept")
    _, short, long = hypertrace(*command, directory=tmp_path).stdout.splitlines()
    assert short.split()[:4] == ["rest", "short", "(program)", str(RUNS)]
    assert long.endswith("slower than short")
    assert hypertrace(*command, "--fail-on", "+50%", status=3, directory=tmp_path).stdout.splitlines()[1:] == [
        short,
        long,
    ]


def test_it_stays_on_the_processors_that_are_asked_for(tmp_path: Path) -> None:
    """Its output is discarded, and its standard input is empty."""
    last = max(os.sched_getaffinity(0))
    (tmp_path / "look.py").write_text(
        "import os, sys\n"
        "print('printed'); print('printed', file=sys.stderr)\n"
        "if 'HYPERTRACE' not in os.environ:\n"
        "    print(sorted(os.sched_getaffinity(0)), repr(sys.stdin.read()), file=open('seen', 'a'))\n"
    )
    done = hypertrace("bench", "--runs", "2", "--cpu", str(last), "--", sys.executable, "look.py", directory=tmp_path)
    assert "printed" not in done.stdout + done.stderr
    # One run is the warm-up.
    assert (tmp_path / "seen").read_text() == f"[{last}] ''\n" * 3
    assert "--cpu 9999: there is no processor 9999" in said(
        "bench", "--cpu", "9999", "--", "true", status=125, directory=tmp_path
    )


@pytest.mark.parametrize(
    ("program", "words"), [("exit 7", "(exit status 7); try --no-whole"), ("kill -9 $$", "(signal 9); try --no-whole")]
)
def test_a_program_that_fails_alone_is_told(tmp_path: Path, program: str, words: str) -> None:
    told = said("bench", "--", "sh", "-c", program, status=125, directory=tmp_path)
    assert f"fails without htrun in warm-up run 1 of 1 {words}" in told


_FAILS_AT_THE_THIRD = """\
#!/bin/sh
echo x >>starts
[ "$(wc -l <starts)" != 3 ] || exit 7
"""


@pytest.mark.parametrize("under_htrun", [False, True])
def test_the_run_that_failed_is_told(tmp_path: Path, under_htrun: bool) -> None:
    program = tmp_path / "app"
    program.write_text(_FAILS_AT_THE_THIRD)
    program.chmod(0o755)
    command = ("bench", "--runs", "4", *(["--no-whole"] if under_htrun else []), "--", "./app")
    failure = (
        "failed in run 2 of 4 (exit status 7)" if under_htrun else "fails without htrun in run 2 of 4 (exit status 7)"
    )
    assert f"./app {failure}" in said(*command, status=125, directory=tmp_path)


def test_where_the_command_names_the_channel_it_is_not_run_alone(tmp_path: Path) -> None:
    command = ("bench", "--runs", "1", "--warmup", "0", "--", "sh", "-c", "test -e {channel}")
    assert "has no events" in said(*command, status=125, directory=tmp_path)


def test_runs_that_were_made_are_kept(tmp_path: Path) -> None:
    """If it was killed while it was writing a line, it continues after the last complete line."""
    (tmp_path / "app").write_text('#!/bin/sh\n[ -n "$HYPERTRACE" ] || echo x >>starts\n')
    (tmp_path / "app").chmod(0o755)
    first = bench(tmp_path, "-o", "kept", "--", "./app")["whole_program"]
    lines = (tmp_path / "kept" / "a" / "alone.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "kept" / "a" / "alone.jsonl").write_bytes(b"".join(lines[:3]) + lines[3][:10])
    again = bench(tmp_path, "-o", "kept", "--", "./app")["whole_program"]
    assert (tmp_path / "starts").read_text() == "x\n" * (RUNS + RUNS - 3)
    assert (first["runs"], again["runs"]) == (RUNS, RUNS)
    assert bench(tmp_path, "-o", "kept", "--", "./app")["whole_program"] == again
    (tmp_path / "kept" / "a" / "alone.jsonl").write_text("{}\n")
    refusal = said("bench", "-o", "kept", "--", "./app", status=125, directory=tmp_path)
    assert "alone.jsonl does not contain the times of a program's runs" in refusal


def test_an_interrupt_leaves_no_program_behind(tmp_path: Path) -> None:
    (tmp_path / "app").write_text("#!/bin/sh\necho $$ >fifo\nexec sleep 1000\n")
    (tmp_path / "app").chmod(0o755)
    os.mkfifo(tmp_path / "fifo")
    with subprocess.Popen([HYPERTRACE, "bench", "--", "./app"], cwd=tmp_path) as process:
        program = int((tmp_path / "fifo").read_text())
        process.send_signal(signal.SIGINT)
        assert process.wait(240) == -signal.SIGINT
    assert not psutil.pid_exists(program)


def test_an_interrupt_while_a_program_is_started_leaves_none_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program may run before its parent knows that it was started."""
    spawn, started = os.posix_spawn, []

    def interrupted(*arguments: Any, **options: Any) -> int:
        started.append(spawn(*arguments, **options))
        signal.raise_signal(signal.SIGINT)
        return started[0]

    monkeypatch.setattr(os, "posix_spawn", interrupted)
    with pytest.raises(KeyboardInterrupt):
        measure("/bin/sleep", ["sleep", "1000"], frozenset())
    assert not psutil.pid_exists(started[0])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
