"""The readings of the host's clocks in a trace.

A program reads the clocks of Linux before each of its events. These times convert to the times of the events."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from htrun.analysis.host_clocks import HostClocks
from htrun.ctf.clock_file import HEADER_SIZE, NAME, ClockFile, boot_id
from htrun.ctf.reader import CtfReader, to_nanoseconds
from htrun.ctf.recorded_clocks import read_clock_file
from htrun.errors import HtrunError
from htrun.events.clock_readings import ClockReading, HostClock, read_clocks
from htrun.hosts import machine
from tests.support.hypertrace import hypertrace
from tests.support.run import SECONDS, Htrun
from tests.support.toolchain import Toolchain
from tests.support.waiting import wait_until

READS_CLOCKS = """
#include <qemu-hypertrace.h>
#include <time.h>
#include <unistd.h>

/* Emits the times of four clocks until the file argv[1] exists. */
int main(int argc, char **argv)
{
    static const clockid_t clocks[] = {CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_BOOTTIME, CLOCK_REALTIME};
    if (argc != 2 || qemu_hypertrace_init(0) != 0)
        return 1;
    while (access(argv[1], F_OK) != 0) {
        for (int i = 0; i < 4; i++) {
            struct timespec now;
            clock_gettime(clocks[i], &now);
            qemu_hypertrace_data(0)[i] = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
        }
        qemu_hypertrace(0);
        usleep(2000);
    }
    return 0;
}
"""
RECORD = 12 * 8
ORDER = (HostClock.MONOTONIC, HostClock.MONOTONIC_RAW, HostClock.BOOTTIME, HostClock.REALTIME)


def run(htrun: Htrun, program: Path, *options: str) -> Path:
    """Run the program until the trace has six readings of the clocks."""
    trace, stop = htrun.directory / "trace", htrun.directory / "stop"
    begin = [htrun.program, "--hypertrace", f"{htrun.channel},args=4", "-o", trace, *options, "--", program, stop]
    process = subprocess.Popen([str(word) for word in begin])
    try:
        clocks = trace / NAME
        wait_until(
            lambda: clocks.exists() and clocks.stat().st_size >= HEADER_SIZE + 6 * RECORD, "six readings of the clocks"
        )
    finally:
        stop.touch()
    assert process.wait(timeout=SECONDS) == 0
    return trace


@pytest.mark.parametrize(
    "options", [("--via", "store"), ("--via", "auto"), ("--no-ptrace",)], ids=["stores", "rings", "untraced"]
)
def test_times_of_a_program_convert_to_those_of_its_events(
    tmp_path: Path, toolchain: Toolchain, options: tuple[str, ...]
) -> None:
    trace = run(Htrun(tmp_path), toolchain.compile_text(READS_CLOCKS, "reads-clocks"), *options)
    clocks = HostClocks.of_trace(trace)
    assert clocks is not None
    assert clocks.boot == boot_id()
    assert clocks.count >= 6
    reader = CtfReader.open(trace, pytest.fail)
    events = np.concatenate([batch.copy() for batch in reader.batches()])
    assert len(events) > 100
    fit = reader.metadata.clock
    for place, clock in enumerate(ORDER):
        read = np.ascontiguousarray(events["args"][:, place])
        ticks, errors = clocks.converter(clock).to_ticks(read)
        slack = np.ceil(errors / fit.frequency * 1e9).astype(np.int64) + 2
        times, converted = events["time"].astype(np.int64), to_nanoseconds(ticks, fit).astype(np.int64)
        assert (converted - slack <= times).all(), clock
        assert (times[:-1] <= converted[1:] + slack[1:]).all(), clock


def test_info_shows_the_readings(tmp_path: Path, toolchain: Toolchain) -> None:
    trace = run(Htrun(tmp_path), toolchain.compile_text(READS_CLOCKS, "reads-clocks"))
    facts = json.loads(hypertrace("info", trace, "--json").stdout)["clocks"]
    assert facts["readings"] >= 6
    assert facts["steps"] == []
    (line,) = (line for line in hypertrace("info", trace).stdout.splitlines() if line.startswith("clocks:"))
    assert line == f"clocks:    {facts['readings']} readings, each within {facts['window_ns']} ns"
    with (trace / NAME).open("rb+") as file:
        file.truncate(10)
    done = hypertrace("info", trace)
    damage = "it does not begin with the header of clock readings"
    assert done.stderr == f"hypertrace: warning: {trace}/.clocks is damaged: {damage}\n"
    assert "clocks:" not in done.stdout


def written(directory: Path, count: int) -> tuple[ClockFile, list[ClockReading]]:
    """A file with so many readings of the clocks of this host, and these readings."""
    source = machine().best_clock().source
    file = ClockFile(directory, source.name)
    readings = [read_clocks(source) for _ in range(count)]
    for reading in readings:
        file.add(reading)
    return file, readings


def test_a_file_that_ends_within_a_reading(tmp_path: Path) -> None:
    file, readings = written(tmp_path, 3)
    with file.path.open("rb+") as opened:
        opened.truncate(HEADER_SIZE + 3 * RECORD - 1)
    recorded = read_clock_file(tmp_path)
    assert recorded is not None
    assert recorded.counter == machine().best_clock().source.name
    assert recorded.readings.tolist() == [[list(sample) for sample in reading] for reading in readings[:2]]


@pytest.mark.parametrize(
    ("place", "number", "message"),
    [
        (8, 2, r"\.clocks has the version 2, but this htrun reads version 1"),
        (12, 1, r"\.clocks is damaged: its header gives impossible sizes"),
        (16, 8, r"\.clocks is damaged: its header gives impossible sizes"),
    ],
)
def test_headers_that_cannot_be_read(tmp_path: Path, place: int, number: int, message: str) -> None:
    file = ClockFile(tmp_path, "tsc")
    with file.path.open("rb+") as opened:
        opened.seek(place)
        opened.write(number.to_bytes(4, "little"))
    with pytest.raises(HtrunError, match=message):
        read_clock_file(tmp_path)


def test_a_longer_header_and_longer_records_can_be_read(tmp_path: Path) -> None:
    """Later versions may add fields."""
    file, readings = written(tmp_path, 2)
    raw = file.path.read_bytes()
    header, records = bytearray(raw[:HEADER_SIZE]), raw[HEADER_SIZE:]
    header[12:24] = b"".join(number.to_bytes(4, "little") for number in (HEADER_SIZE + 8, RECORD + 24, 5))
    file.path.write_bytes(
        bytes(header) + bytes(8) + b"".join(records[at : at + RECORD] + bytes(24) for at in (0, RECORD))
    )
    recorded = read_clock_file(tmp_path)
    assert recorded is not None
    assert recorded.readings.tolist() == [[list(sample) for sample in reading] for reading in readings]


def test_an_older_trace_has_no_readings(tmp_path: Path) -> None:
    assert read_clock_file(tmp_path) is None
    assert HostClocks.of_trace(tmp_path) is None
