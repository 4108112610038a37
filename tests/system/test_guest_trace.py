"""The trace of a guest's kernel through the channel: decoded, complete, and in one order with the program's events."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

import htrun as package
from htrun.analysis.trace import Event, Trace
from tests.support.run import HTRUN, Htrun
from tests.support.toolchain import Toolchain
from tests.system.machines import ARM64, X86_64, Machine, guest, installed_qemu, said

HYPERTRACE = HTRUN.with_name("hypertrace")
COUNT = 200
TRACING = "/sys/kernel/tracing"
FTRACE = "/sys/module/qemu_hypertrace/parameters/ftrace"
STEPS = [
    f"write {TRACING}/trace_clock mono",
    f"write {TRACING}/buffer_size_kb 8192",
    f"write {TRACING}/events/sched/sched_switch/enable 1",
    "insmod /qemu-hypertrace.ko ftrace=1",
    # Enabled later, so its format is sent later.
    f"write {TRACING}/events/raw_syscalls/sys_enter/enable 1",
    f"/bin/emit_timed {COUNT}",
    f"write {TRACING}/trace_marker begin",
    f"/bin/emit_timed {COUNT}",
    f"write {TRACING}/trace_marker end",
    f"write {FTRACE} 0",
    f"write {TRACING}/tracing_on 0",
    "write /dev/ttyS0 the guest's own trace:",
    f"copy {TRACING}/trace",
    # Functions; none of them is the module's own.
    f"write {TRACING}/events/enable 0",
    f"write {TRACING}/set_ftrace_filter do_nanosleep",
    f"write {TRACING}/current_tracer function",
    f"write {FTRACE} 1",
    f"write {TRACING}/tracing_on 1",
    "/bin/emit_timed 20",
    f"write {TRACING}/current_tracer nop",
    "rmmod qemu_hypertrace",
    "write /dev/kmsg unloaded",
]
LINE = re.compile(r".*-\d+\s+\[(?P<cpu>\d+)\] \S+ +(?P<time>\d+\.\d+): (?P<name>\w+): (?P<text>.*)")
"""The resolution of times in tracefs's ``trace``: seconds with six decimals."""
MARKER = "tracing_mark_write"


@pytest.fixture(scope="module")
def traced(modules: list[Path], toolchain: Toolchain, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One machine with two processors: its trace and its output."""
    directory = tmp_path_factory.mktemp("guest-trace")
    htrun = Htrun(directory)
    programs = {"emit_timed": guest("emit_timed", X86_64, toolchain)}
    tested = Machine(X86_64, toolchain, directory, STEPS, programs, modules[:1])
    qemu = installed_qemu("qemu-system-x86_64")
    result = tested.run(htrun, qemu, "-smp", "2", options=("-o", directory / "trace")).check()
    return {"trace": directory / "trace", "said": said(result), "raw": len(result.events)}


@pytest.fixture(scope="module")
def trace(traced: dict[str, Any]) -> Trace:
    return package.open(traced["trace"])


@pytest.fixture(scope="module")
def events(trace: Trace) -> list[Event]:
    return list(trace)


def print_trace(*arguments: str | Path) -> list[str]:
    """The lines of ``hypertrace print``."""
    done = subprocess.run([HYPERTRACE, "print", *arguments], check=True, capture_output=True, text=True)
    assert done.stderr == ""
    return done.stdout.splitlines()


def between_markers(events: list[Event]) -> list[Event]:
    """The events after the marker "begin" up to the marker "end"."""
    places = [place for place, event in enumerate(events) if event.name == "ftrace:print"]
    texts = [str(events[place].values["buf"]).strip() for place in places]
    assert texts == ["begin", "end"]
    return events[places[0] : places[1] + 1]


def test_nothing_is_left_in_pieces(events: list[Event], traced: dict[str, Any]) -> None:
    names = {event.name for event in events}
    assert names == {
        "guest_hypertrace",
        "sched:sched_switch",
        "raw_syscalls:sys_enter",
        "ftrace:print",
        "ftrace:function",
    }
    assert not [event for event in events if event.name == "guest_hypertrace" and event.index != 0]
    numbers = [event.args[0] for event in events if event.name == "guest_hypertrace"]
    assert numbers == [*range(COUNT), *range(COUNT), *range(20)]
    assert [line for line in traced["said"] if line.startswith("init:")] == []


def test_same_as_the_guests_own_trace(traced: dict[str, Any], events: list[Event]) -> None:
    """The guest's own buffers contain the same events as the trace, in the same order and with the same text. No event
    is later than the next event."""
    theirs = traced["said"][traced["said"].index("the guest's own trace:") + 1 :]
    printed = [line.partition(" pid=")[2].partition(" ")[2] for line in print_trace(traced["trace"])]
    for processor in (0, 1):
        own = [match for line in theirs if (match := LINE.fullmatch(line)) and int(match["cpu"]) == processor]
        own_texts = [(match["name"] + ": " if match["name"] == MARKER else "") + match["text"] for match in own]
        own_times = [int(match["time"].replace(".", "")) for match in own]
        came = [
            (text, (int(event.values["guest_time"]) + 500) // 1000)
            for text, event in zip(printed, events, strict=True)
            if event.stream.vcpu == processor and event.name not in ("guest_hypertrace", "ftrace:function")
        ]
        # The guest's trace began before the module was loaded, and ended after the module stopped.
        first = next(place for place in range(len(own)) if own_texts[place : place + len(came)] == [t for t, _ in came])
        for place, (_, time) in enumerate(came, first):
            assert own_times[place] <= time
            assert time <= [*own_times, time][place + 1]


def check_order(events: list[Event], count: int) -> None:
    """Check that on the processor of ``emit_timed COUNT`` each event of the kernel is between the same events of the
    program as by the guest's clock, and that there are some of both kinds."""
    program = [event for event in between_markers(events) if event.name == "guest_hypertrace"]
    (processor,) = {event.stream.vcpu for event in program}
    switches = calls = 0
    before = [event.args[1] for event in program]
    behind = [event.args[2] for event in program[1:]]
    place = last = 0
    for event in between_markers(events):
        if event.stream.vcpu != processor:
            continue
        if event.name == "guest_hypertrace":
            place += 1
            continue
        time = int(event.values["guest_time"])
        assert time >= last
        last = time
        if place > 0:
            assert time >= before[place - 1]
        if place < len(behind):
            assert time <= behind[place]
        switches += event.name == "sched:sched_switch"
        calls += event.name == "raw_syscalls:sys_enter"
    assert switches >= count // 10
    assert calls >= count // 10


def test_order_agrees_with_the_guests_clock(events: list[Event]) -> None:
    check_order(events, COUNT)


@pytest.mark.heavy("x86-64 is tried, too")
def test_aarch64(arm64_modules: list[Path], toolchain: Toolchain, htrun: Htrun, tmp_path: Path) -> None:
    """Switches, calls, markers and the program's events of the other architecture, in one trace and in their order."""
    count = 100
    steps = [
        f"write {TRACING}/trace_clock mono",
        f"write {TRACING}/events/sched/sched_switch/enable 1",
        f"write {TRACING}/events/raw_syscalls/sys_enter/enable 1",
        "insmod /qemu-hypertrace.ko ftrace=1",
        f"write {TRACING}/trace_marker begin",
        f"/bin/emit_timed {count}",
        f"write {TRACING}/trace_marker end",
        "rmmod qemu_hypertrace",
    ]
    programs = {"emit_timed": guest("emit_timed", ARM64, toolchain)}
    tested = Machine(ARM64, toolchain, tmp_path, steps, programs, arm64_modules[:1])
    qemu = installed_qemu("qemu-system-aarch64")
    result = tested.run(htrun, qemu, "-smp", "2", options=("-o", tmp_path / "trace")).check()
    assert said(result) == []
    assert result.summary["lost"] == 0
    events = list(package.open(tmp_path / "trace"))
    assert {event.name for event in events} == {
        "guest_hypertrace",
        "sched:sched_switch",
        "raw_syscalls:sys_enter",
        "ftrace:print",
    }
    assert [event.args[0] for event in events if event.name == "guest_hypertrace"] == list(range(count))
    check_order(events, count)


def test_printed(traced: dict[str, Any], events: list[Event]) -> None:
    lines = print_trace(traced["trace"])
    assert len(lines) == len(events)
    switch = r"sched:sched_switch pid=\d+ prev_comm=\S+ prev_pid=\d+ prev_prio=\d+ prev_state=[A-Z]\+? ==> "
    switch += r"next_comm=\S+ next_pid=\d+ next_prio=\d+"
    call = r"raw_syscalls:sys_enter pid=\d+ NR \d+ \(([0-9a-f]+, ){5}[0-9a-f]+\)"
    forms = {
        "sched:sched_switch": switch,
        "raw_syscalls:sys_enter": call,
        "ftrace:print": r"ftrace:print pid=1 tracing_mark_write: (begin|end)",
        "ftrace:function": r"ftrace:function pid=\d+  do_nanosleep <-- \w+",
        "guest_hypertrace": "guest_hypertrace index=0( arg[1-4]=0x[0-9a-f]{16}){4}",
    }
    for line, event in zip(lines, events, strict=True):
        assert re.fullmatch(r" +[\d.]+ CPU [01]/TCG:\d+ " + forms[event.name], line), line
    # The call by which the program sleeps.
    assert re.search(r"NR (35|230) ", "\n".join(lines))


def test_filtered_and_converted(traced: dict[str, Any], events: list[Event], tmp_path: Path) -> None:
    condition = 'prev_comm == "emit_timed" and next_pid >= 0'
    command = [HYPERTRACE, "print", traced["trace"], "--event", "sched:*", "--where", condition, "--json"]
    found = [json.loads(line) for line in subprocess.run(command, check=True, capture_output=True).stdout.splitlines()]
    wanted = [event for event in events if event.values.get("prev_comm") == "emit_timed"]
    assert [each["args"] for each in found] == [dict(event.values) for event in wanted]
    assert len(found) >= COUNT // 10
    for suffix in ("csv", "json", "pftrace", "log", "simple"):
        out = tmp_path / f"out.{suffix}"
        subprocess.run([HYPERTRACE, "convert", traced["trace"], out], check=True, capture_output=True)
        # All formats except QEMU's can show them.
        assert (b"emit_timed" in out.read_bytes()) == (suffix != "simple"), suffix


def test_left_in_pieces(traced: dict[str, Any]) -> None:
    lines = print_trace("--no-guest-trace", traced["trace"])
    assert len(lines) == traced["raw"]
    assert all(" guest_hypertrace index=" in line for line in lines)
