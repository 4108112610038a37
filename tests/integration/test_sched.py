"""Context switches, migrations and page faults of threads as events: as many as the kernel counts, in every format."""

from __future__ import annotations

import csv
import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet
import pytest
from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as proto

import htrun as library
from htrun.analysis.trace import Event
from htrun.events.records import RING_SITE
from htrun.events.syscalls import ARCH_X86_64, table
from tests.support import simple
from tests.support.requirements import missing, require_perf_events
from tests.support.run import HTRUN, Htrun, changed_htrun, portable_htrun
from tests.support.toolchain import Toolchain

GUESTS = Path(__file__).parent / "guests"
PAGES, MOVES, PREEMPTIONS, PAGE = 2000, 100, 20, 4096
SLEEPS_PHASE, FAULTS_PHASE, MOVES_PHASE, PREEMPTIONS_PHASE = range(4)
SWITCHES = {"sched_switch_in", "sched_switch_out"}


@pytest.fixture(autouse=True)
def _perf_events() -> None:
    require_perf_events()


@dataclass(frozen=True)
class Phases:
    """A run of the guest ``sched_phases``. ``told``: the lines that it has printed, each as its words."""

    events_of_all: list[Event]
    told: list[list[str]]

    def events(self, phase: int) -> Iterator[Event]:
        """The events of the guest's first thread in ``phase``."""
        events = (event for event in self.events_of_all if event.stream.tid == self.events_of_all[0].stream.tid)
        for event in events:
            if event.name == "guest_hypertrace" and event.args[0] == 2 * phase + 1:
                break
        for event in events:
            if event.name == "guest_hypertrace":
                return
            yield event

    def numbers(self, word: str, index: int | None = None) -> list[int]:
        """The numbers that the guest has printed after ``word``, and after ``index`` if it is given."""
        before = [word] if index is None else [word, str(index)]
        (found,) = [line[len(before) :] for line in self.told if line[: len(before)] == before]
        return [int(number) for number in found]


@pytest.fixture(params=["store", "ring"])
def phases(request: pytest.FixtureRequest, toolchain: Toolchain, tmp_path: Path) -> Phases:
    if len(os.sched_getaffinity(0)) < 2:
        missing("a second processor")
    program = toolchain.compile(GUESTS / "sched_phases.c")
    summary = tmp_path / "summary"
    command = [HTRUN, "--sched", "--via", request.param, "--summary", summary, "-o", tmp_path / "trace", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=240)
    assert done.stderr == ""
    assert json.loads(summary.read_text())["lost"] == 0
    return Phases(list(library.open(tmp_path / "trace")), [line.split() for line in done.stdout.splitlines()])


def test_the_kernel_counts_the_same(phases: Phases) -> None:
    """Switches, by whether the thread was preempted; each page fault; each move."""
    for phase in range(4):
        voluntary_least, voluntary_most, least, most = phases.numbers("phase", phase)
        preempted = Counter(event.args[1] for event in phases.events(phase) if event.name == "sched_switch_out")
        assert voluntary_least <= preempted[0] <= voluntary_most
        assert least <= preempted[1] <= most
    (first,) = phases.numbers("pages")
    expected = [first + number * PAGE for number in range(PAGES)]
    faults = [event.args[0] for event in phases.events(FAULTS_PHASE) if event.name == "page_fault"]
    assert [address for address in faults if first <= address < first + PAGES * PAGE] == expected
    one, other = phases.numbers("processors")
    moves = [tuple(event.args) for event in phases.events(MOVES_PHASE) if event.name == "migration"]
    assert moves == [(one, other), (other, one)] * (MOVES // 2)


def test_a_thread_runs_where_and_when_the_events_say(phases: Phases) -> None:
    """In each thread, switches alternate, and all else happens while it runs, on the same processor. Only a store that
    traps has its time from the tracer, while the thread waits."""
    running: dict[int, int | None] = {}
    for event in phases.events_of_all:
        match event.name:
            case "sched_switch_in":
                assert running.get(event.stream.tid) is None
                running[event.stream.tid] = event.args[0]
            case "sched_switch_out":
                assert running[event.stream.tid] == event.args[0]
                running[event.stream.tid] = None
            case "page_fault":
                assert running[event.stream.tid] == event.args[1]
            case "guest_hypertrace" if event.site == RING_SITE:
                assert running[event.stream.tid] is not None


def test_every_format_has_all_events(htrun: Htrun, toolchain: Toolchain, tmp_path: Path) -> None:
    program = toolchain.compile(GUESTS / "many_threads.c")
    names = ["trace", "a.jsonl", "a.csv", "a.json", "a.parquet", "a.pftrace", "a.simple", "a.log"]
    files = {name: tmp_path / name for name in names}
    options = [word for file in files.values() for word in ("-o", file)]
    result = htrun.run(program, "20", "50", options=("--sched", "--via", "ring", *options))
    assert (result.status, result.stderr) == (0, "")
    trace = library.open(files["trace"])
    events = [(event.time, event.name, event.stream.tid, tuple(event.args)) for event in trace]
    counts = Counter(event[1] for event in events)
    assert dict(counts) == result.summary["kinds"]
    assert counts.keys() >= SWITCHES | {"page_fault"}
    lines = [json.loads(line) for line in files["a.jsonl"].read_text().splitlines()]
    told = sorted((line["event"], line["tid"], *line["args"].values()) for line in lines)
    assert told == sorted((name, tid, *args) for _, name, tid, args in events)
    times = [line["time_ns"] for line in lines]
    assert times == sorted(times)
    with files["a.csv"].open(newline="") as file:
        assert [row["event"] for row in csv.DictReader(file)] == [line["event"] for line in lines]
    chrome = [event for event in json.loads(files["a.json"].read_text())["traceEvents"] if event["ph"] != "M"]
    assert Counter(event["name"] for event in chrome) == counts
    assert pyarrow.parquet.read_table(files["a.parquet"]).column("event").to_pylist() == [
        line["event"] for line in lines
    ]
    packets = proto.Trace.FromString(files["a.pftrace"].read_bytes()).packet
    assert sum(packet.HasField("track_event") for packet in packets) == len(events)
    assert Counter(record.name for record in simple.read(files["a.simple"].read_bytes())) == counts
    log = files["a.log"].read_text().splitlines()
    assert Counter(line.partition(":")[2].partition(" ")[0] for line in log) == counts
    shown = subprocess.run(["babeltrace2", files["trace"]], capture_output=True, text=True, check=True)
    assert (len(shown.stdout.splitlines()), shown.stderr) == (len(events), "")


def test_with_system_calls_and_after_an_exec(tmp_path: Path) -> None:
    """A call that waits contains the switch, and the thread's name is that of its program."""
    options = ["--sched", "-trace", "guest*", "-o", str(tmp_path / "trace")]
    subprocess.run([str(HTRUN), *options, "sh", "-c", "sleep 0.1; exec sleep 0.01"], check=True, timeout=240)
    names: dict[str, set[str]] = {}
    inside, switched = False, False
    for event in library.open(tmp_path / "trace"):
        names.setdefault(event.name, set()).add(event.stream.comm)
        if event.name == "guest_user_syscall":
            inside = event.num == table(ARCH_X86_64).numbers["clock_nanosleep"]
        elif event.name == "sched_switch_out" and inside:
            switched = True
    assert switched
    assert names["sched_switch_in"] == {"sh", "sleep"}


def test_without_a_tracer_there_is_no_sched(htrun: Htrun) -> None:
    result = htrun.run("true", options=("--sched", "--no-ptrace", "--via", "ring"))
    assert result.status == 125
    assert result.stderr == (
        "htrun: --no-ptrace and --sched exclude each other: only a tracer sees each thread before it runs\n"
    )


def test_a_kernel_that_refuses_is_told_before_the_program_runs(htrun: Htrun, tmp_path: Path) -> None:
    changes = (
        "import errno, os\n"
        "from htrun.sched import event\n"
        "def refuse(*_):\n"
        "    raise OSError(errno.EACCES, os.strerror(errno.EACCES))\n"
        "event._open = refuse\n"
    )
    changed = Htrun(htrun.directory, changed_htrun(tmp_path, changes))
    result = changed.run("touch", tmp_path / "ran", options=("--sched",))
    assert result.status == 125
    assert result.stderr.startswith(
        "htrun: --sched: the kernel refuses perf_event_open (kernel.perf_event_paranoid is "
    )
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "ran").exists()


def test_a_host_without_a_tracer_says_so(htrun: Htrun, tmp_path: Path) -> None:
    """There, no code for the host's system calls exists."""
    program = portable_htrun(tmp_path)
    without = "def none():\n    raise AssertionError('no host')\nhosts.current = none\n"
    main = "from htrun.commands.run import main\n"
    program.write_text(program.read_text().replace(main, without + main))
    result = Htrun(htrun.directory, program).run("true", options=("--sched", "--via", "ring"))
    assert result.status == 125
    assert result.stderr.startswith("htrun: cannot trace")
    assert result.stderr.count("\n") == 1


def test_descriptors_are_left_for_the_recording(toolchain: Toolchain, tmp_path: Path) -> None:
    """With more threads than files that may be open, the events of the first threads are recorded."""
    program, summary = toolchain.compile(GUESTS / "many_threads.c"), tmp_path / "summary"
    options = ["--sched", "--summary", str(summary), "-o", str(tmp_path / "trace")]
    script = ["sh", "-c", 'ulimit -n 64; exec "$@"', "sh", str(HTRUN), *options, str(program), "100", "20"]
    done = subprocess.run(script, capture_output=True, text=True, check=True, timeout=240)
    assert done.stderr.startswith("htrun: warning: --sched does not record all threads: ")
    assert done.stderr.count("\n") == 1
    found = json.loads(summary.read_text())
    assert (found["failure"], found["warnings"].keys()) == (None, {"sched"})
    assert found["kinds"]["sched_switch_in"] > 0
    assert found["kinds"]["guest_hypertrace"] == 6 * 100 + 3 * 20
