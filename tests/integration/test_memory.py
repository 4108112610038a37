"""Printing and converting a large trace takes no more memory than a small trace.

``HTRUN_MEMORY_TRACE_BYTES=2147483648 pytest tests/integration/test_memory.py`` takes 2 GiB instead of 64 MiB.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from htrun.events.stream import Stream
from lab.once import make_once
from tests.support.run import HTRUN
from tests.unit.analysis.made import FACTS, Made

SIZE = int(os.environ.get("HTRUN_MEMORY_TRACE_BYTES", str(64 << 20)))
MOST = 300_000
"""The maximum memory of a process in KiB, for any size of the trace."""
MORE = 120_000
"""The additional memory in KiB, compared with a conversion of only the first events: rows that are not written yet, and
pages of files that are read."""
THREADS, PACKET, NUM_ARGS = 4, 5461, 4
RECORD = 16 + 8 * NUM_ARGS
NAMES = """\
[[event]]
id = 1
name = "io"
phase = "begin"
args = ["size:u64", "kind:enum:READ=0,WRITE=1", "at:hex"]
[[event]]
id = 2
name = "io"
phase = "end"
args = ["result:i64"]
[[event]]
id = 3
name = "depth"
phase = "counter"
args = ["n:u64"]
"""


@pytest.fixture(scope="module")
def trace(session_directory: Path) -> Path:
    """A trace of four threads that emit alternately. All test processes share it."""
    return make_once(session_directory / f"trace-of-{SIZE}", write)


def write(path: Path) -> None:
    made = Made(path, num_args=NUM_ARGS, facts={**FACTS, "named_events": NAMES})
    args = np.zeros((PACKET, NUM_ARGS), np.uint64)
    for number in range(SIZE // (THREADS * PACKET * RECORD)):
        places = np.arange(number * PACKET, (number + 1) * PACKET, dtype=np.uint64)
        args[:, 0], args[:, 1], args[:, 2] = places % np.uint64(4), places, places % np.uint64(2)
        args[:, 3] = places * np.uint64(0x9E3779B97F4A7C15)
        for thread in range(THREADS):
            times = places * np.uint64(100) + np.uint64(thread + 1_700_000_000 * 10**9)
            made.packet(Stream(10 + thread, 10, thread, f"thread{thread}"), times, args, site=thread)
    made.close()


MEASURE = """\
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def peak(*arguments: str | Path) -> int:
    """The peak memory of hypertrace in KiB, from the kernel. A small process starts it, since the kernel's count
    includes the memory before an exec, which would be that of the tests.
    """
    command = [sys.executable, "-c", MEASURE, HTRUN.with_name("hypertrace"), *arguments]
    return int(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


@pytest.mark.parametrize("verb", [("print",), ("print", "--time", "wall,delta"), ("print", "--json"), ("info",)])
def test_printing(trace: Path, verb: tuple[str, ...]) -> None:
    assert peak(*verb, trace) < MOST


@pytest.mark.parametrize("name", ["log", "simple", "jsonl", "chrome", "csv", "perfetto"])
def test_converting(trace: Path, name: str) -> None:
    few, every = (peak("convert", trace, "/dev/null", "--format", name, *part) for part in (("--to", "1ms"), ()))
    assert every < MOST
    assert every - few < MORE


def test_parquet(trace: Path, tmp_path: Path) -> None:
    few = peak("convert", trace, tmp_path / "few.parquet", "--to", "1ms")
    every = peak("convert", trace, tmp_path / "every.parquet")
    assert every < MOST
    assert every - few < MORE
