"""One run written in several formats at once, and what becomes of outputs that fail."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pyarrow.parquet
import pytest
from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as proto

import htrun as library
from tests.support.requirements import missing
from tests.support.run import Htrun
from tests.support.toolchain import Toolchain

COUNT = 300
SOURCE = """
#include <qemu-hypertrace.h>
#include <string.h>

int main(void)
{
    uint64_t *data;
    double ratio = -0.5;
    int i;

    if (qemu_hypertrace_init(NULL) != 0) {
        return 1;
    }
    data = qemu_hypertrace_data(3);
    for (i = 0; i < 300; i++) {
        data[0] = 1 + i % 3;
        data[1] = (uint64_t)-i;
        memcpy(&data[2], &ratio, sizeof(ratio));
        data[3] = UINT64_MAX;
        qemu_hypertrace(3);
    }
    return 0;
}
"""
NAMES = """\
[[event]]
id = 1
name = "io"
phase = "begin"
args = ["n:i64", "ratio:f64", "all"]
[[event]]
id = 2
name = "io"
phase = "end"
args = ["n:i64"]
"""


@pytest.fixture
def program(toolchain: Toolchain) -> Path:
    return toolchain.compile_text(SOURCE, "formats")


@pytest.fixture
def names(tmp_path: Path) -> Path:
    path = tmp_path / "names.toml"
    path.write_text(NAMES)
    return path


def test_one_run_in_every_format_says_the_same(htrun: Htrun, program: Path, names: Path, tmp_path: Path) -> None:
    files = ["trace", "a.jsonl", "a.csv", "a.json", "a.parquet", "a.pftrace", "a.simple", "a.log"]
    outputs = [word for file in files for word in ("-o", tmp_path / file)]
    result = htrun.run(program, options=("--events", names, *outputs))
    assert (result.status, result.stderr) == (0, "")
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [line["args"].get("n") for line in lines] == [-i if i % 3 < 2 else None for i in range(COUNT)]
    assert lines[0]["args"] == {"n": 0, "ratio": -0.5, "all": 2**64 - 1}
    times = [line["time_ns"] for line in lines]
    with (tmp_path / "a.csv").open(newline="") as file:
        assert [int(row["time_ns"]) for row in csv.DictReader(file)] == times
    chrome = json.loads((tmp_path / "a.json").read_text())["traceEvents"]
    assert [event["ph"] for event in chrome if event["ph"] != "M"] == ["B", "E", "i"] * (COUNT // 3)
    table = pyarrow.parquet.read_table(tmp_path / "a.parquet")
    assert table.column("io.n").to_pylist() == [line["args"].get("n") for line in lines]
    packets = proto.Trace.FromString((tmp_path / "a.pftrace").read_bytes()).packet
    assert [packet.timestamp for packet in packets if packet.HasField("track_event")] == times
    assert (tmp_path / "a.log").read_text() == result.log.read_text()
    native = library.open(tmp_path / "trace")
    assert native.names is not None
    assert native.names.text == NAMES
    assert (tmp_path / "a.simple").stat().st_size > COUNT * 8 * 8


def test_a_sink_that_fails_is_told_and_dropped(htrun: Htrun, program: Path, tmp_path: Path) -> None:
    if not os.access("/dev/full", os.W_OK):
        missing("/dev/full")
    failing, good = ("-o", "/dev/full", "--format", "jsonl"), ("-o", tmp_path / "a.csv")
    result = htrun.run(program, options=(*failing, *good))
    assert result.status == 0
    told = "htrun: warning: cannot write /dev/full: No space left on device; it gets no more events\n"
    assert result.stderr == told
    assert len((tmp_path / "a.csv").read_text().splitlines()) == COUNT + 1
    assert len(result.events) == COUNT


def test_bad_outputs_are_told_before_the_program_runs(htrun: Htrun, program: Path, names: Path, tmp_path: Path) -> None:
    (tmp_path / "old.csv").write_text("precious")
    (tmp_path / "bad.toml").write_text('[[event]]\nid = 1\nname = ""\n')
    cases: list[tuple[tuple[str | Path, ...], str]] = [
        (("-o", tmp_path / "old.csv"), "it exists; give another, or remove it"),
        (("-o", tmp_path, "--format", "csv"), "it is a directory; this format is one file"),
        (("-o", tmp_path / "none" / "a.csv"), "No such file or directory"),
        (("-o", tmp_path / "old.csv" / "runs", "--format", "parquet"), "Not a directory"),
        (("--events", tmp_path / "none.toml"), "No such file or directory"),
        (("--events", tmp_path / "bad.toml"), "(at line 3)"),
        (("--hypertrace", ",args=2", "--events", names), "its events need 4 arguments, and the channel has 2"),
    ]
    for options, message in cases:
        result = htrun.run(program, options=options)
        assert result.status == 125
        assert message in result.stderr
        assert result.stderr.count("\n") == 1
        assert not os.path.lexists(result.channel)
    assert (tmp_path / "old.csv").read_text() == "precious"
