"""Events of a real program, through each format and back: the same events, values and times.

``HTRUN_ROUND_TRIP_EVENTS=1000000 pytest tests/integration/test_round_trips.py`` uses a million events instead of
200,000.
"""

from __future__ import annotations

import csv
import json
import os
import re
import struct
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from numpy.typing import NDArray

import htrun as library
from lab.once import make_once
from tests.support import simple, tracefs
from tests.support.hypertrace import HYPERTRACE
from tests.support.perfetto import Reader, TrackEvent, pieces
from tests.support.requirements import require_tool
from tests.support.run import HTRUN
from tests.support.toolchain import Toolchain

EVENTS = int(os.environ.get("HTRUN_ROUND_TRIP_EVENTS", "200000")) // 4 * 4
THREADS = 4
EACH = EVENTS // THREADS
IDS = [1, 2, 3, 2**64 - 1, 5, 0]
WORDS = [0, 1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1]
WORDS += [0x7FF0000000000000, 0xFFF0000000000000, 0x7FF8000000000000, 0x3FB999999999999A, 2**63 + 1, 2**64 - 42]
"""The same words as in ``guests/round_trip.c``."""
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
args = ["result:i64", "ok:bool", "serial:u64"]
[[event]]
id = 3
name = "job"
phase = "begin"
args = ["ratio:f64", "extra:i64", "key"]
key = "key"
[[event]]
id = 18446744073709551615
name = "job"
phase = "end"
args = ["flags:hex", "load:f64", "key"]
key = "key"
[[event]]
id = 5
name = "depth"
phase = "counter"
args = ["n:i64", "load:f64", "total"]
"""
TYPES = {
    1: ("io", "begin", (("size", "u64"), ("kind", "enum"), ("at", "hex"))),
    2: ("io", "end", (("result", "i64"), ("ok", "bool"), ("serial", "u64"))),
    3: ("job", "begin", (("ratio", "f64"), ("extra", "i64"), ("key", "u64"))),
    2**64 - 1: ("job", "end", (("flags", "hex"), ("load", "f64"), ("key", "u64"))),
    5: ("depth", "counter", (("n", "i64"), ("load", "f64"), ("total", "u64"))),
    0: (None, None, (("arg1", "hex"), ("arg2", "hex"), ("arg3", "hex"), ("arg4", "hex"))),
}
"""The content of `NAMES`: name, phase, and the names and types of the arguments of each event."""


@dataclass(frozen=True)
class Recorded:
    """The trace. ``threads``: process and thread id of each thread; ``times``: of each thread's events, in ns."""

    path: Path
    threads: dict[int, tuple[int, int]]
    times: dict[int, list[int]]

    def number(self, tid: int) -> int:
        """The guest's number of a thread."""
        return next(number for number, (_, own) in self.threads.items() if own == tid)


@dataclass(frozen=True, slots=True)
class Seen:
    """An event as read from a format. ``name``, ``phase``: those that the user has defined; ``values``: the arguments
    by name."""

    time: int
    tid: int
    name: str | None
    phase: str | None
    values: dict[str, Any]


Form = Callable[[str, int], Any]
"""Converts a word of a type to the value in a format."""


def words_of(thread: int) -> NDArray[np.uint64]:
    """The arguments of a thread's events, as it stored them: a row of four for each event."""
    number = np.arange(EACH, dtype=np.uint64)
    words, places = np.array(WORDS, np.uint64), number // np.uint64(len(IDS))
    mixed = number * np.uint64(0x9E3779B97F4A7C15) + np.uint64(thread)
    columns = [
        np.array(IDS, np.uint64)[number % np.uint64(len(IDS))],
        words[places % np.uint64(len(WORDS))],
        words[places // np.uint64(len(WORDS)) % np.uint64(len(WORDS))],
        mixed,
    ]
    return np.stack(columns, axis=1)


def typed(kind: str, word: int) -> Any:
    """The value of a word of this type."""
    match kind:
        case "i64":
            return struct.unpack("<q", struct.pack("<Q", word))[0]
        case "f64":
            return struct.unpack("<d", struct.pack("<Q", word))[0]
        case "bool":
            return word != 0
        case "enum":
            return {0: "READ", 1: "WRITE"}.get(word, word)
        case _:
            return word


def expected(recorded: Recorded, thread: int, form: Form) -> Iterator[Seen]:
    """The events of a thread, with arguments converted by ``form``."""
    tid = recorded.threads[thread][1]
    # Most words occur repeatedly.
    once = cache(form)
    for time, words in zip(recorded.times[thread], words_of(thread).tolist(), strict=True):
        name, phase, arguments = TYPES[words[0]]
        own = words[len(words) - len(arguments) :]
        values = {each: once(kind, word) for (each, kind), word in zip(arguments[:-1], own[:-1], strict=True)}
        last, kind = arguments[-1]
        values[last] = form(kind, own[-1])
        yield Seen(time, tid, name, phase, values)


def raw(recorded: Recorded, thread: int) -> Iterator[tuple[int, list[int]]]:
    """Check the time and arguments of each event of a thread."""
    return zip(recorded.times[thread], words_of(thread).tolist(), strict=True)


def check(recorded: Recorded, found: Iterator[Seen], form: Form = typed) -> None:
    """Check that ``found`` are the events of all threads, in the order of each thread."""
    awaited = {tid: expected(recorded, thread, form) for thread, (_, tid) in recorded.threads.items()}
    for seen in found:
        assert seen == next(awaited[seen.tid])
    assert [list(rest) for rest in awaited.values()] == [[]] * THREADS


@pytest.fixture(scope="module")
def recorded(toolchain: Toolchain, session_directory: Path) -> Recorded:
    """The run, which all test processes share."""
    directory = make_once(session_directory / "round-trip", lambda path: record(path, toolchain))
    lines = (directory / "threads").read_text().splitlines()
    threads = {int(number): (int(pid), int(tid)) for number, pid, tid in map(str.split, lines)}
    trace = library.open(directory / "trace")
    events = trace.to_numpy()
    assert len(events) == EVENTS
    numbers = {stream.tid: number for number, stream in enumerate(trace.streams)}
    times = {thread: events["time"][events["stream"] == numbers[tid]].tolist() for thread, (_, tid) in threads.items()}
    return Recorded(directory / "trace", threads, times)


def record(directory: Path, toolchain: Toolchain) -> None:
    directory.mkdir()
    (directory / "names.toml").write_text(NAMES)
    program = toolchain.compile(Path(__file__).parent / "guests" / "round_trip.c")
    command: list[str | Path] = [
        HTRUN,
        "-o",
        directory / "trace",
        "--events",
        directory / "names.toml",
        "--",
        program,
        str(EVENTS),
    ]
    with (directory / "threads").open("w") as threads:
        subprocess.run(command, stdout=threads, timeout=240 + EVENTS / 50_000, check=True)


def convert(recorded: Recorded, out: Path, *options: str | Path) -> Path:
    command = [HYPERTRACE, "convert", recorded.path, out, *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240 + EVENTS / 10_000, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return out


def test_python(recorded: Recorded) -> None:
    trace = library.open(recorded.path)
    events = trace.to_numpy()
    assert bool((np.diff(events["time"].astype(np.int64)) >= 0).all())
    for thread, (pid, tid) in recorded.threads.items():
        [number] = [place for place, stream in enumerate(trace.streams) if stream.tid == tid]
        assert trace.streams[number].pid == pid
        own = events[events["stream"] == number]
        assert bool((own["args"] == words_of(thread)).all())
        assert bool((own["index"] == thread).all())
    assert len({stream.pid for stream in trace.streams}) == 3


_BABELTRACE = re.compile(
    r"\[(\d+)\.(\d{9})\] .*?\{ pid = (\d+), tid = (\d+), .*"
    r"index = (\d+), arg1 = (\w+), arg2 = (\w+), arg3 = (\w+), arg4 = (\w+) \}"
)


def test_ctf(recorded: Recorded) -> None:
    """babeltrace2's text; it computes times with floating point, so that a nanosecond may be rounded away."""
    babeltrace = require_tool("babeltrace2", "babeltrace2")
    command: list[str | Path] = [babeltrace, "--clock-seconds", "--no-delta", recorded.path]
    awaited = {tid: raw(recorded, thread) for thread, (_, tid) in recorded.threads.items()}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        count = 0
        for line in process.stdout:
            match = _BABELTRACE.search(line)
            assert match, line
            seconds, nanoseconds, pid, tid, index = map(int, match.groups()[:5])
            time, words = next(awaited[tid])
            assert recorded.threads[index] == (pid, tid)
            assert [int(word, 16) for word in match.groups()[5:]] == words
            assert abs(seconds * 10**9 + nanoseconds - time) <= 2
            count += 1
    assert (process.returncode, count) == (0, EVENTS)


def test_simple(recorded: Recorded, tmp_path: Path) -> None:
    data = convert(recorded, tmp_path / "out.simple").read_bytes()
    awaited = {thread: raw(recorded, thread) for thread in recorded.threads}
    vcpus = {stream.tid: stream.vcpu for stream in library.open(recorded.path).streams}
    count = 0
    for record in simple.read(data):
        vcpu, index, *words = record.arguments
        pid, tid = recorded.threads[index]
        assert (record.name, record.pid, vcpu) == ("guest_hypertrace", pid, vcpus[tid])
        assert (record.time, words) == next(awaited[index])
        count += 1
    assert count == EVENTS


def json_form(kind: str, word: int) -> Any:
    """JSON has no infinities and no NaN."""
    value = typed(kind, word)
    if kind != "f64" or abs(value) < float("inf"):
        return value
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


def test_json_lines(recorded: Recorded, tmp_path: Path) -> None:
    def events() -> Iterator[Seen]:
        with (tmp_path / "out.jsonl").open() as file:
            for event in map(json.loads, file):
                assert (event["pid"], event["tid"]) == recorded.threads[event["index"]]
                yield Seen(event["time_ns"], event["tid"], event.get("name"), event.get("phase"), event["args"])

    convert(recorded, tmp_path / "out.jsonl")
    check(recorded, events(), json_form)


_PHASES = {"B": "begin", "E": "end", "b": "begin", "e": "end", "C": "counter", "i": None}


def test_chrome(recorded: Recorded, tmp_path: Path) -> None:
    """The file is one object; each of its parts is on a separate line, so that they need not be in memory at once."""

    def form(kind: str, word: int) -> Any:
        return f"0x{word:016x}" if kind == "hex" else json_form(kind, word)

    def events() -> Iterator[Seen]:
        with (tmp_path / "out.json").open() as file:
            base = int(json.loads(file.readline() + "]}")["otherData"]["start_time_ns"])
            lines = iter(file)
            while (line := next(lines)) != "]}\n":
                event = json.loads(line.removeprefix(","))
                if event["ph"] == "M":
                    continue
                phase, values = _PHASES[event["ph"]], event["args"]
                if phase is None:
                    assert recorded.threads[values.pop("index")] == (event["pid"], event["tid"])
                # A float of microseconds does not have all digits, but its text does.
                microseconds = re.search(r'"ts":(-?\d+)\.(\d{3})', line)
                assert microseconds, line
                time = base + int(microseconds[1] + microseconds[2])
                yield Seen(time, event["tid"], event["name"] if phase else None, phase, values)

    convert(recorded, tmp_path / "out.json")
    check(recorded, events(), form)


def csv_form(kind: str, word: int) -> str:
    value = typed(kind, word)
    return str(value).lower() if kind == "bool" else str(value)


def test_csv(recorded: Recorded, tmp_path: Path) -> None:
    columns = "time_ns,pid,tid,vcpu,comm,event,name,phase,index,num,arch,arg1,arg2,arg3,arg4,arg5,arg6,arg7,arg8"
    ids = {(name or "", phase or ""): str(id_) for id_, (name, phase, _) in TYPES.items()}

    def events() -> Iterator[Seen]:
        with (tmp_path / "out.csv").open(newline="") as file:
            rows = csv.reader(file)
            assert ",".join(next(rows)) == columns
            for time, pid, tid, _, _, event, name, phase, index, num, arch, *fields in rows:
                arguments, others = fields[:4], fields[4:]
                assert [num, arch, *others] == [""] * 6
                assert (event, recorded.threads[int(index)]) == ("guest_hypertrace", (int(pid), int(tid)))
                assert arguments[0] == ids[name, phase]
                names = [each for each, _ in TYPES[int(arguments[0])][2]]
                values = dict(zip(names, arguments[len(arguments) - len(names) :], strict=True))
                yield Seen(int(time), int(tid), name or None, phase or None, values)

    convert(recorded, tmp_path / "out.csv")
    check(recorded, events(), csv_form)


def test_parquet(recorded: Recorded, tmp_path: Path) -> None:
    table = pyarrow.parquet.read_table(convert(recorded, tmp_path / "out.parquet"))
    assert table.num_rows == EVENTS
    for thread, (pid, tid) in recorded.threads.items():
        own = table.filter(pyarrow.compute.equal(table["tid"], tid))
        words = words_of(thread)
        assert own["time"].cast("int64").to_numpy().tolist() == recorded.times[thread]
        assert set(own["pid"].unique().to_pylist()) == {pid}
        assert set(own["index"].unique().to_pylist()) == {thread}
        assert all(bool((own[f"arg{place + 1}"].to_numpy() == words[:, place]).all()) for place in range(4))
        for id_, (name, phase, arguments) in TYPES.items():
            rows = own.filter(pyarrow.array(words[:, 0] == np.uint64(id_)))
            assert rows["name"].unique().to_pylist() == [name]
            assert rows["phase"].unique().to_pylist() == [phase]
            for place, (argument, kind) in enumerate(arguments, 1):
                if name is not None:
                    right = [typed(kind, word) for word in words[words[:, 0] == np.uint64(id_), place].tolist()]
                    found = rows[f"{name}.{argument}"].to_pylist()
                    assert list(map(repr, found)) == [repr(str(value) if kind == "enum" else value) for value in right]


def test_perfetto(recorded: Recorded, tmp_path: Path) -> None:
    """Slices with a key, and counters, do not belong to a thread. They must be the same, in any order."""
    types = {"SLICE_BEGIN": "begin", "SLICE_END": "end", "COUNTER": "counter", "INSTANT": None}
    reader = Reader()

    def form(kind: str, word: int) -> Any:
        # NaN is not equal to itself, and Perfetto's counters are signed.
        return repr(typed(kind, word))

    def seen(event: TrackEvent, tid: int) -> Seen:
        phase = types[event.type]
        if phase is None:
            assert recorded.threads[event.values.pop("index")][1] == tid
        values = {name: repr(value) for name, value in event.values.items()}
        return Seen(event.time, tid, event.name if phase else None, phase, values)

    def is_threads(event: Seen) -> bool:
        return event.name not in ("job", "depth")

    others: list[tuple[int, str, str]] = []
    awaited = {
        tid: filter(is_threads, expected(recorded, thread, form)) for thread, (_, tid) in recorded.threads.items()
    }
    for piece in pieces(convert(recorded, tmp_path / "out.pftrace")):
        for event in reader.events(piece):
            if event.type == "COUNTER" or event.name == "job":
                others.append((event.time, event.name, repr(event.values)))
            else:
                tid = reader.thread_of(event.track).tid
                assert seen(event, tid) == next(awaited[tid])
    assert [list(rest) for rest in awaited.values()] == [[]] * THREADS
    assert sorted(others) == sorted(perfettos_own(recorded))


def perfettos_own(recorded: Recorded) -> Iterator[tuple[int, str, str]]:
    """Slices with a key, and the values of counters."""
    for thread in recorded.threads:
        for event in expected(recorded, thread, typed):
            if event.name == "job":
                yield event.time, "job", repr(event.values)
            elif event.name == "depth":
                for name, value in event.values.items():
                    # Perfetto's counters are signed: a greater value is a float.
                    yield event.time, f"depth {name}", repr({"value": value if value < 2**63 else float(value)})


def log_form(kind: str, word: int) -> str:
    return f"0x{word:016x}" if kind == "hex" else csv_form(kind, word)


def lines_of(recorded: Recorded, lines: Iterator[str]) -> Iterator[Seen]:
    """Events of a log, whose times are in microseconds."""
    for line in lines:
        match = re.fullmatch(r"(\d+)@(\d+)\.(\d{6}):(\w+) cpu=0x\d  (?:phase=(\w+) )?index=(\d) (.*)\n?", line)
        assert match, line
        tid, values = int(match[1]), dict(each.split("=") for each in match[7].split(" "))
        assert recorded.threads[int(match[6])][1] == tid
        name = match[4] if match[4] != "guest_hypertrace" else None
        yield Seen(int(match[2] + match[3]), tid, name, match[5], values)


def in_microseconds(event: Seen) -> Seen:
    return Seen(event.time // 1000, event.tid, event.name, event.phase, event.values)


def test_log(recorded: Recorded, tmp_path: Path) -> None:
    awaited = {tid: map(in_microseconds, expected(recorded, thread, log_form))
               for thread, (_, tid) in recorded.threads.items()}  # fmt: skip
    with convert(recorded, tmp_path / "out.log").open() as file:
        for event in lines_of(recorded, file):
            assert event == next(awaited[event.tid])
    assert [list(rest) for rest in awaited.values()] == [[]] * THREADS


def test_ftrace(recorded: Recorded, tmp_path: Path) -> None:
    """The same lines as in the log. Only a few events are written, because the buffer is kernel memory."""
    end = sorted(time for times in recorded.times.values() for time in times)[20_000]
    part = ("--to", f"@{end // 10**9}.{end % 10**9:09}")
    log = convert(recorded, tmp_path / "part.log", *part).read_text().splitlines()
    assert len(log) > 19_000
    with tracefs.instance("htrun-round-trip") as buffer:
        (buffer / "buffer_size_kb").write_text(str(64 + len(log) // 3))
        convert(recorded, buffer / "trace_marker", *part)
        lines = [line for line in (buffer / "trace").read_text().splitlines() if not line.startswith("#")]
    assert [line.partition("tracing_mark_write: ")[2] for line in lines] == log
