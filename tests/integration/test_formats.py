"""One run written in several formats at once, and outputs that fail."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
from pathlib import Path

import pyarrow.parquet
import pytest
from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as proto

import htrun as library
from tests.support.requirements import missing
from tests.support.run import HTRUN, Htrun, LogEvent
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
    told = "htrun: warning: cannot write /dev/full: No space left on device; it receives no further events\n"
    assert result.stderr == told
    assert len((tmp_path / "a.csv").read_text().splitlines()) == COUNT + 1
    assert len(result.events) == COUNT


SMALL_DISK = 'mount -t tmpfs -o size=32k none "$1" && shift && "$@"; status=$?; cp -r disk copy; exit $status'


@pytest.mark.parametrize("name", ["trace", "a.log", "a.simple", "a.jsonl", "a.json", "a.csv", "a.pftrace", "a.parquet"])
def test_a_full_disk_ends_one_output_alone(toolchain: Toolchain, tmp_path: Path, name: str) -> None:
    program = toolchain.compile(Path(__file__).parent / "guests" / "property_burst.c")
    disk = tmp_path / "disk"
    disk.mkdir()
    command: list[str | Path] = [HTRUN, "--hypertrace", tmp_path / "channel", "-D", "/dev/stdout", "-o", disk / name]
    command += ["--ring-size", "64K", "--"]
    mounted: list[str | Path] = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", SMALL_DISK, "sh", disk]
    done = subprocess.run(
        [*mounted, *command, program, "5000", "1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if "@" in line]
    assert [LogEvent.parse(line).args[0] for line in lines] == list(range(5000))
    warning = (
        rf"htrun: warning: cannot write {disk}/{name}\S*: No space left on device; it receives no further events\n"
    )
    assert re.fullmatch(warning, done.stderr), done.stderr
    if name == "trace":
        assert 0 < len(library.open(tmp_path / "copy" / name)) < 5000


@pytest.mark.parametrize("format_", ["log", "simple", "jsonl", "chrome", "csv", "perfetto"])
def test_a_reader_that_goes_ends_one_output_alone(htrun: Htrun, program: Path, format_: str) -> None:
    command = [*htrun.command("-o", "/dev/stdout", "--format", format_), str(program)]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=240, check=False)
    os.close(writer)
    told = "htrun: warning: cannot write /dev/stdout: Broken pipe; it receives no further events\n"
    assert (done.returncode, done.stderr) == (0, told)
    assert len((htrun.directory / "log").read_text().splitlines()) == COUNT


def test_bad_outputs_are_told_before_the_program_runs(htrun: Htrun, program: Path, names: Path, tmp_path: Path) -> None:
    (tmp_path / "old.csv").write_text("precious")
    old_trace = tmp_path / "old"
    old_trace.mkdir()
    (old_trace / "metadata").touch()
    (tmp_path / "bad.toml").write_text('[[event]]\nid = 1\nname = ""\n')
    cases: list[tuple[tuple[str | Path, ...], str]] = [
        (("-o", tmp_path / "old.csv"), "it exists; give another, or -f to replace it"),
        (("-o", tmp_path, "--format", "csv"), "it is a directory; this format is one file"),
        (("-o", tmp_path / "none" / "a.csv"), "No such file or directory"),
        (("-o", tmp_path / "old.csv" / "runs", "--format", "parquet"), "Not a directory"),
        (("-o", tmp_path / "a", "--format", "xml"), "unknown format 'xml'; choose from ctf, log, simple"),
        (("-o", old_trace), "the directory is not empty; give another, or -f to replace a trace"),
        (("-o", "/proc/1/trace"), "cannot write a trace to /proc/1/trace"),
        (("-o", "/proc/1/a.csv"), "cannot write /proc/1/a.csv"),
        (("-trace", f"events={tmp_path / 'none'}"), "cannot read the events file"),
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


ALL_FORMATS = ["log", "simple", "perfetto", "chrome", "jsonl", "csv", "parquet", "ctf"]


def test_arguments_of_any_bytes(program: Path, tmp_path: Path) -> None:
    """Command lines may contain any bytes; each format represents them or fails, without affecting the others."""
    outputs: list[str | bytes] = []
    for name in ALL_FORMATS:
        outputs += ["-o", str(tmp_path / f"out.{name}"), "--format", name]
    command = [HTRUN, "--summary", tmp_path / "summary", *outputs, program, b"caf\xe9"]
    done = subprocess.run(command, capture_output=True, timeout=240)
    assert (done.returncode, done.stderr) == (0, b"")
    summary = json.loads((tmp_path / "summary").read_text())
    assert (summary["events"], summary["warnings"], summary["failure"]) == (COUNT, {}, None)
    assert pyarrow.parquet.read_table(tmp_path / "out.parquet").num_rows == COUNT
    assert len(library.open(tmp_path / "out.ctf")) == COUNT
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 1 + COUNT


def test_a_path_of_any_bytes(htrun: Htrun, program: Path, tmp_path: Path) -> None:
    """Each verb accepts the path, and the path that it prints can be opened."""
    trace = os.fsencode(tmp_path / "odd") + b"\xe9"
    htrun.run(program, options=("-q", "-o", os.fsdecode(trace))).check()
    verbs: list[list[str | bytes]] = [
        ["info", trace],
        ["print", trace],
        ["stat", trace, "--between", "1", "2"],
        ["query", trace, "select count(*) from events"],
        ["convert", trace, trace + b".csv"],
        ["convert", trace, trace + b".parquet"],
        ["view", trace],
    ]
    for words in verbs:
        command = [HTRUN.with_name("hypertrace"), *words]
        done = subprocess.run(command, capture_output=True, cwd=tmp_path, timeout=240)
        assert b"Traceback" not in done.stderr, words
        assert done.returncode == 0, (words, done.stderr)
    assert (tmp_path / os.fsdecode(done.stdout.rstrip(b"\n"))).stat().st_size > 0
