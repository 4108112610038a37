"""Traces in other formats: all events are converted, and an impossible conversion is reported in one line."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from htrun.events.stream import Stream
from tests.support.hypertrace import HYPERTRACE, hypertrace
from tests.unit.analysis.made import Made

COUNT = 3000
WORDS = [0, 1, 2**63, 2**64 - 1]


def convert(*arguments: str | Path, status: int = 0) -> str:
    """The output of hypertrace on standard error."""
    done = hypertrace("convert", *arguments, status=status)
    assert done.stdout == ""
    return done.stderr


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two threads whose events alternate; they are in `expected`."""
    made = Made(tmp_path_factory.mktemp("made") / "trace", num_args=2)
    for start in range(0, COUNT, 500):
        for thread, stream in enumerate((Stream(10, 10, 0, "one"), Stream(21, 20, 1, "two", big_endian=True))):
            numbers = range(start, start + 500)
            made.packet(
                stream,
                [10 * number + thread + 1_000_000 for number in numbers],
                [[number, WORDS[number % len(WORDS)]] for number in numbers],
                index=thread,
            )
    return made.close()


def expected() -> list[tuple[int, int, int, int, int]]:
    """Time, thread, index, and arguments."""
    return [
        (10 * number + thread + 1_000_000, (10, 21)[thread], thread, number, WORDS[number % len(WORDS)])
        for number in range(COUNT)
        for thread in range(2)
    ]


def test_json_lines(trace: Path, tmp_path: Path) -> None:
    convert(trace, tmp_path / "out.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [
        (each["time_ns"], each["tid"], each["index"], each["args"]["arg1"], each["args"]["arg2"]) for each in lines
    ] == expected()


def test_csv(trace: Path, tmp_path: Path) -> None:
    convert(trace, tmp_path / "anything", "--format", "csv")
    with (tmp_path / "anything").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [
        tuple(int(row[name], 0) for name in ("time_ns", "tid", "index", "arg1", "arg2")) for row in rows
    ] == expected()


def test_parquet(trace: Path, tmp_path: Path) -> None:
    convert(trace, tmp_path / "out.parquet")
    table = pyarrow.parquet.read_table(tmp_path / "out.parquet")
    columns = [table.column("time").cast("int64"), *(table.column(name) for name in ("tid", "index", "arg1", "arg2"))]
    assert list(zip(*(column.to_pylist() for column in columns), strict=True)) == expected()


def test_log(trace: Path, tmp_path: Path) -> None:
    convert(trace, tmp_path / "out.log")
    lines = (tmp_path / "out.log").read_text().splitlines()
    read = [re.findall(r"^(\d+)@0\.00(\d{4}):.* index=(\d) arg1=0x(\w+) arg2=0x(\w+)$", line)[0] for line in lines]
    assert [(int(tid), int(index), int(one, 16), int(two, 16)) for tid, _, index, one, two in read] == [
        each[1:] for each in expected()
    ]


@pytest.mark.parametrize("name", ["out.json", "out.simple", "out.pftrace"])
def test_other_formats_are_written(trace: Path, tmp_path: Path, name: str) -> None:
    """Other tests check their content."""
    convert(trace, tmp_path / name)
    assert (tmp_path / name).stat().st_size > COUNT * 20


def test_only_what_is_wanted(trace: Path, tmp_path: Path) -> None:
    convert(trace, tmp_path / "out.jsonl", "--thread", "two", "--where", "arg1 < 10 and arg2 > 1", "--from", "25ns")
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [(each["tid"], each["args"]["arg1"]) for each in lines] == [(21, 3), (21, 6), (21, 7)]


def test_to_a_pipe(trace: Path) -> None:
    done = subprocess.run(
        [HYPERTRACE, "convert", trace, "/dev/stdout", "--format", "jsonl"], capture_output=True, text=True, check=True
    )
    assert len(done.stdout.splitlines()) == 2 * COUNT


@pytest.mark.parametrize(
    ("out", "options", "reason"),
    [
        ("out", [], "native format already; give --format"),
        ("out", ["--format", "ctf"], "native format already"),
        ("out", ["--format", "xml"], "unknown format 'xml'; choose from"),
        ("there.csv", [], "it exists"),
        ("there.parquet", [], "it exists"),
        ("directory.csv", [], "it is a directory"),
        ("no/such/out.csv", [], "No such file or directory"),
        ("/dev/full", ["--format", "csv"], "No space left on device"),
        ("out.csv", ["--where", "x"], "no field 'x'"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(
    trace: Path, tmp_path: Path, out: str, options: list[str], reason: str
) -> None:
    for name in ("there.csv", "there.parquet"):
        (tmp_path / name).write_text("mine")
    (tmp_path / "directory.csv").mkdir()
    message = convert(trace, tmp_path / out, *options, status=125)
    assert reason in message
    assert re.fullmatch("hypertrace: [^\n]+\n", message)
    assert (tmp_path / "there.csv").read_text() == "mine"


def test_memory_does_not_grow_with_the_trace(tmp_path: Path) -> None:
    made = Made(tmp_path / "t", num_args=4)
    for start in range(0, 3_000_000, 50_000):
        made.packet(Stream(1 + start // 50_000 % 2, 1), np.arange(start, start + 50_000, dtype=np.uint64))
    path = made.close()
    peaks = {}
    for name, options in {"few": ["--to", "200us"], "all": []}.items():
        # The child's peak memory, from the kernel.
        process = subprocess.Popen([HYPERTRACE, "convert", path, "/dev/null", "--format", "csv", *options])
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        peaks[name] = usage.ru_maxrss
    # 144 MB on disk.
    assert peaks["all"] - peaks["few"] < 30_000
