"""hypertrace bench: two commands and a matrix reported in every form, and how it continues after it was killed."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.documents import fenced
from tests.support.hypertrace import HYPERTRACE, hypertrace, said
from tests.support.jobs import MATRIX
from tests.support.toolchain import Toolchain
from tests.support.waiting import wait_until

JOBS = 500
"""The number of spans of the guest."""
GUESTS = Path(__file__).parent / "guests"
SHORT = ("--no-whole", "--all", "--runs", "2", "--warmup", "0", "--events", "events.toml")


@pytest.fixture
def directory(tmp_path: Path, toolchain: Toolchain) -> Path:
    """A directory with a program that emits spans, the names of its events, and a matrix of two cells."""
    (tmp_path / "app").symlink_to(toolchain.compile(GUESTS / "timed_jobs.c"))
    [names] = fenced("timing.md", "toml")
    (tmp_path / "events.toml").write_text(names)
    (tmp_path / "matrix.toml").write_text(MATRIX)
    return tmp_path


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_two_commands_in_every_form(directory: Path) -> None:
    """Standard output has only the JSON; the other forms go to their files."""
    files = ("--csv", "table.csv", "--markdown", "table.md")
    command = ("bench", *SHORT, *files, "--json", "-", "--vs", "env ./app", "--", "./app")
    told = json.loads(hypertrace(*command, directory=directory).stdout)
    assert (told["a"]["command"], told["b"]["command"]) == ("./app", "env ./app")
    [span] = told["spans"]
    assert span["name"] == "job"
    [row] = rows_of((directory / "table.csv").read_text())
    assert row["name"] == "job"
    assert float(row["a_median_ns"]) == span["a"]["median"]
    assert float(row["ratio"]) == span["ratio"]["value"]
    assert span["ratio"]["value"] == pytest.approx(span["b"]["median"] / span["a"]["median"])
    assert row["verdict"] == span["verdict"]
    markdown = (directory / "table.md").read_text()
    assert "A: `./app`" in markdown
    assert f"| {span['verdict']} |" in markdown


def test_two_commands_for_people(directory: Path) -> None:
    text = hypertrace("bench", *SHORT, "--vs", "env ./app", "--", "./app", directory=directory).stdout
    assert re.match(
        r"A: \./app\nB: env \./app\nin random order \(--seed \d+\)\n\ngeometric means of the runs' medians, corrected",
        text,
    )
    assert "\njob " in text


def test_a_matrix_in_every_form(directory: Path) -> None:
    files = ("--csv", "table.csv", "--markdown", "table.md")
    told = json.loads(
        hypertrace("bench", *SHORT, *files, "--json", "-", "--matrix", "matrix.toml", "-o", "kept", directory=directory)
        .stdout
    )  # fmt: skip
    plain, env = told["cells"]
    assert (plain["program"], plain["emulator"], plain["command"]) == ("jobs", "plain", "./app")
    assert (env["program"], env["emulator"], env["command"]) == ("jobs", "env", "env ./app")
    [first], [second] = plain["spans"], env["spans"]
    assert first["against"] is None
    assert second["against"]["emulator"] == "plain"
    rows = rows_of((directory / "table.csv").read_text())
    assert [(row["emulator"], row["name"], float(row["median_ns"])) for row in rows] == [
        ("plain", "job", first["center"]),
        ("env", "job", second["center"]),
    ]
    assert float(rows[1]["ratio"]) == second["against"]["ratio"]["value"]
    assert second["against"]["ratio"]["value"] == pytest.approx(second["center"] / first["center"])
    verdict = second["against"]["verdict"]
    words = {"same": "same as plain", "inconclusive": "inconclusive"}.get(verdict, f"{verdict} than plain")
    assert f"| {words} |" in (directory / "table.md").read_text()


@pytest.mark.parametrize("more", [("--vs", "./app", "--", "./app"), ("--matrix", "matrix.toml", "-o", "kept")])
def test_pyperf_is_for_one_program(directory: Path, more: tuple[str, ...]) -> None:
    """The error comes before anything is run."""
    refusal = said("bench", *SHORT, "--pyperf", "out.json", *more, status=125, directory=directory)
    assert "--pyperf" in refusal
    assert not (directory / "kept").exists()


_COUNTS = """\
#!/bin/sh
# Counts its starts, and at the third kills whoever started it.
echo x >>starts
[ "$(wc -l <starts)" != 3 ] || kill -KILL $PPID
exec ./guest
"""


@pytest.mark.parametrize("several", ["matrix", "vs"])
def test_a_bench_that_was_killed_goes_on(directory: Path, several: str) -> None:
    """Two cells of two runs: finished runs are not repeated; interrupted ones are run again."""
    (directory / "app").rename(directory / "guest")
    (directory / "app").write_text(_COUNTS)
    (directory / "app").chmod(0o755)
    more = ("--matrix", "matrix.toml") if several == "matrix" else ("--vs", "sh ./app", "--", "./app")
    command = ("bench", *SHORT, "--json", "-", "-o", "kept", *more)
    # The temporary files of a killed process are left here.
    environment = os.environ | {"TMPDIR": str(directory)}
    killed = subprocess.run(
        [HYPERTRACE, *command],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stdout + killed.stderr
    assert len((directory / "starts").read_text().splitlines()) == 3
    told = json.loads(hypertrace(*command, directory=directory).stdout)
    assert len((directory / "starts").read_text().splitlines()) == 5
    if several == "matrix":
        assert [[span["count"] for span in cell["spans"]] for cell in told["cells"]] == [[2 * JOBS], [2 * JOBS]]
    else:
        [span] = told["spans"]
        assert [(span[side]["runs"], span[side]["count"]) for side in "ab"] == [(2, 2 * JOBS), (2, 2 * JOBS)]


_GOES_ON = """\
#!/bin/sh
# Counts its starts. The third kills whoever started it once it has begun to emit, and goes on while the fourth runs.
echo x >>starts
case $(wc -l <starts) in
3)
    ./guest
    until ls kept/*/unfinished*/metadata; do :; done
    kill -KILL $PPID
    read word <go
    ./guest
    echo emitted >end
    exit;;
4) echo kept/*/unfinished* >under-way; echo on >go; read word <end;;
esac
exec ./guest
"""


def test_the_run_of_a_bench_that_was_killed_may_still_be_under_way(directory: Path) -> None:
    """Each bench writes to its own directory: traces of the first bench are not among those of the second."""
    (directory / "app").rename(directory / "guest")
    (directory / "app").write_text(_GOES_ON)
    (directory / "app").chmod(0o755)
    for name in ("go", "end"):
        os.mkfifo(directory / name)
    command = ("bench", *SHORT, "--json", "-", "-o", "kept", "--matrix", "matrix.toml")
    environment = os.environ | {"TMPDIR": str(directory)}
    killed = subprocess.run([HYPERTRACE, *command], cwd=directory, env=environment, capture_output=True, timeout=240)
    assert killed.returncode == -signal.SIGKILL
    told = json.loads(hypertrace(*command, directory=directory).stdout)
    assert [[span["count"] for span in cell["spans"]] for cell in told["cells"]] == [[2 * JOBS], [2 * JOBS]]
    assert len((directory / "under-way").read_text().split()) == 2
    traces = sorted(f"kept/jobs@{emulator}/run-00{run}" for emulator in ("plain", "env") for run in (1, 2))
    assert {trace: len(list((directory / trace).glob("stream-*"))) for trace in traces} == dict.fromkeys(traces, 1)
    # After it has exited, the files that it left are removed.

    def directories() -> list[str]:
        hypertrace(*command, directory=directory)
        return sorted(str(path.parent.relative_to(directory)) for path in directory.glob("kept/*/*/metadata"))

    wait_until(lambda: directories() == traces, "a bench that leaves its traces only")


BAD_MATRICES = {
    "unknown key": ('[[programs]]\nname = "a"\n', "unknown key 'programs'"),
    "no command": ('[[program]]\nname = "a"\n', "has no command"),
    "a placeholder without a value": ('[[program]]\nname = "a"\ncommand = "./{x}"\n', "a placeholder without a value"),
    "no list": ('[[program]]\nname = "a"\ncommand = "./a"\n[parameters]\nx = 1\n', "must contain lists"),
    "twice": ('[[program]]\nname = "a"\ncommand = "./a"\n' * 2, "two cells"),
    "no TOML": ("[[program]\n", "line 1"),
    "quotes": ('[[program]]\nname = "a"\ncommand = "./a \'"\n', "closing quotation"),
}


@pytest.mark.parametrize("what", BAD_MATRICES)
def test_a_bad_matrix_is_told(directory: Path, what: str) -> None:
    text, words = BAD_MATRICES[what]
    (directory / "matrix.toml").write_text(text)
    refusal = said("bench", *SHORT, "--matrix", "matrix.toml", "-o", "kept", status=125, directory=directory)
    assert "matrix.toml" in refusal
    assert words in refusal


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--threshold", "much"), "--threshold much: not a percentage"),
        (("--htrun", "'"), "--htrun ': No closing quotation"),
        (("--cpu", "99999"), "--cpu 99999: there is no processor"),
        (("--vs", "true", "--fail-on", "5x"), "--fail-on 5x: not a percentage"),
    ],
)
def test_what_makes_no_sense_is_said_before_anything_is_run(
    tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    command = ("bench", "--runs", "1", "--warmup", "0", *options, "--", "touch")
    assert words in said(*command, tmp_path / "ran", status=125, directory=tmp_path)
    assert not (tmp_path / "ran").exists()
