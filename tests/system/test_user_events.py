"""Programs in a Linux machine on stock QEMU emit events through the PCI device that htrun adds."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.run import Htrun, LogEvent, Result
from tests.support.toolchain import Toolchain
from tests.system.machines import (
    ARM64,
    TIMEOUT,
    X86_64,
    Architecture,
    Machine,
    guest,
    installed_qemu,
    later_qemu,
    readme_program,
    said,
)

ARGUMENTS = (0xCAFE, 0xBABE, 0xDEAD, 0xBEEF)
MASK = (1 << 64) - 1
MATRIX = pytest.mark.heavy("two processors of the installed emulator are tried, too")
MOST_TRAPS = 100
"""The maximum number of traps of a machine whose sites are patched, for any number of events."""


@pytest.fixture
def machine(toolchain: Toolchain, tmp_path: Path) -> Callable[..., Machine]:
    """Creates machines that run the README's program and then similar ones."""

    def make(architecture: Architecture, *steps: str) -> Machine:
        programs = {name: guest(name, architecture, toolchain) for name in ("emit_many", "count_boots")}
        programs["my-hypertrace"] = readme_program(architecture, toolchain)
        return Machine(architecture, toolchain, tmp_path, ["/bin/my-hypertrace", *steps], programs)

    return make


def check(result: Result, count: int, threads: int) -> None:
    """Check that the event of the README's program and those of ``emit_many COUNT THREADS`` are there, in order."""
    result.check()
    assert result.events, result.stdout
    first, *others = result.events
    assert (first.index, first.args) == (0, ARGUMENTS)
    by_thread: dict[int, list[LogEvent]] = {thread: [] for thread in range(threads)}
    for event in others:
        by_thread[event.index].append(event)
    for thread, events in by_thread.items():
        assert [event.args for event in events] == [(n, ~n & MASK, thread, thread) for n in range(count)]
        assert {event.cpu for event in events} == {thread}, "an event bears the number of its processor"
        assert len({event.tid for event in events}) == 1
        assert all(before.time <= after.time for before, after in pairwise(events))
    assert result.summary["warnings"] == {}


@pytest.mark.parametrize(
    ("qemu", "processors", "patch"),
    [
        pytest.param(
            qemu, processors, patch, id=f"{name}-{processors}-{'patched' if patch else 'no-patch'}", marks=marks
        )
        for qemu, name in ((installed_qemu, "installed"), (later_qemu, "10.0"))
        for processors in (1, 2)
        for patch in (True, False)
        for marks in [() if (name, processors, patch) == ("installed", 2, True) else MATRIX]
    ],
)
def test_x86_64(
    qemu: Callable[[str], list[str]], processors: int, patch: bool, machine: Callable[..., Machine], htrun: Htrun
) -> None:
    count = 100_000
    tested = machine(X86_64, f"/bin/emit_many {count} {processors}")
    options = () if patch else ("--no-patch",)
    result = tested.run(htrun, qemu("qemu-system-x86_64"), "-smp", str(processors), options=options)
    assert said(result) == ["emitting hypertrace event", f"{processors} threads emitted {count} events each"]
    check(result, count, processors)
    if patch:
        assert result.summary["traps"] < MOST_TRAPS
    else:
        assert result.summary["traps"] >= result.summary["events"]


def test_aarch64(machine: Callable[..., Machine], htrun: Htrun) -> None:
    tested = machine(ARM64, "/bin/emit_many 20000 2")
    result = tested.run(htrun, installed_qemu("qemu-system-aarch64"), "-smp", "2")
    check(result, 20_000, 2)
    assert result.summary["traps"] < MOST_TRAPS


def run_in_one_thread(tested: Machine, htrun: Htrun, *arguments: str) -> Result:
    """Run the machine with all its processors in one thread of QEMU."""
    words = ["tcg,thread=single" if word == "tcg" else word for word in tested.arguments()]
    qemu = installed_qemu("qemu-system-x86_64")
    return htrun.run(*qemu, *words, *arguments, timeout=TIMEOUT).check()


def test_all_processors_in_one_thread(machine: Callable[..., Machine], htrun: Htrun) -> None:
    """Then htrun cannot see which processor emitted an event, and says so. The events are exact nevertheless."""
    result = run_in_one_thread(machine(X86_64, "/bin/emit_many 20000 2"), htrun, "-smp", "2")
    first, *others = result.events
    assert first.args == ARGUMENTS
    for thread in (0, 1):
        events = [event for event in others if event.index == thread]
        assert [event.args for event in events] == [(n, ~n & MASK, thread, thread) for n in range(20_000)]
    assert {(event.tid, event.cpu) for event in result.events} == {(first.tid, 0)}
    (line,) = result.stderr.splitlines()
    assert line.startswith(
        "htrun: warning: QEMU runs the machine's 2 processors in one thread (thread=single or -icount)"
    )
    assert result.summary["warnings"] == {"shared-thread": 1}


def test_one_processor_in_the_thread_of_all(machine: Callable[..., Machine], htrun: Htrun) -> None:
    result = run_in_one_thread(machine(X86_64, "/bin/emit_many 10 1"), htrun)
    check(result, 10, 1)
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("accelerator", "more", "said_of_it"),
    [
        ("tcg,split-wx=on", (), "as QEMU does with split-wx=on: each event traps"),
        ("tcg", ("-sandbox", "on"), "as QEMU has with -sandbox"),
    ],
)
def test_patches_that_options_forbid(
    accelerator: str, more: tuple[str, ...], said_of_it: str, machine: Callable[..., Machine], htrun: Htrun
) -> None:
    """Events are exact, and htrun reports why they are slow."""
    tested = machine(X86_64, "/bin/emit_many 2000 1")
    words = [accelerator if word == "tcg" else word for word in tested.arguments()]
    result = htrun.run(*installed_qemu("qemu-system-x86_64"), *words, *more, timeout=TIMEOUT).check()
    assert len(result.events) == 2001
    assert said_of_it in result.stderr
    assert "each event traps, which costs thousands of times as much" in result.stderr
    assert result.summary["warnings"].keys() == {"injection"}


def test_memory_that_is_touched_beforehand(machine: Callable[..., Machine], htrun: Htrun) -> None:
    """With ``-mem-prealloc``, which does not apply to the channel's memory."""
    tested = machine(X86_64, "/bin/emit_many 2000 1")
    check(tested.run(htrun, installed_qemu("qemu-system-x86_64"), "-mem-prealloc"), 2000, 1)


def test_threads_without_names(machine: Callable[..., Machine], htrun: Htrun) -> None:
    """If QEMU does not name its threads, they are numbered in the order in which they appear, and their processors are
    unknown."""
    tested = machine(X86_64, "/bin/emit_many 1000 2")
    names = ("-name", "unnamed,debug-threads=off")
    result = tested.run(htrun, installed_qemu("qemu-system-x86_64"), *names, "-smp", "2").check()
    by_index = {index: {event.cpu for event in result.events[1:] if event.index == index} for index in (0, 1)}
    assert [len(numbers) for numbers in by_index.values()] == [1, 1]
    assert by_index[0] != by_index[1]


def test_started_by_a_script(machine: Callable[..., Machine], htrun: Htrun, tmp_path: Path) -> None:
    tested = machine(X86_64, "/bin/emit_many 100 1")
    script = tmp_path / "start-machine"
    words = [*installed_qemu("qemu-system-x86_64"), *tested.arguments()]
    script.write_text(f"#!/bin/sh\n{shlex.join(words)} &\nwait $!\necho the machine has ended\n")
    script.chmod(0o755)
    result = htrun.run(script, timeout=TIMEOUT)
    check(result, 100, 1)
    assert said(result)[-1] == "the machine has ended"


def test_device_behind_a_bridge_beside_another(machine: Callable[..., Machine], htrun: Htrun, tmp_path: Path) -> None:
    """The channel is found by its contents, on any bus. Another device of the same kind is not used."""
    other = tmp_path / "other"
    other.write_bytes(bytes(1 << 20))
    result = machine(X86_64, "/bin/emit_many 10 1").run(
        htrun,
        installed_qemu("qemu-system-x86_64"),
        *("-object", f"memory-backend-file,id=other,share=on,mem-path={other},size=1M"),
        *("-device", "ivshmem-plain,memdev=other"),
        *("-device", "pci-bridge,id=bridge,chassis_nr=1"),
        *("-device", "hypertrace,bus=bridge,addr=3"),
    )
    check(result, 10, 1)
    assert other.read_bytes() == bytes(1 << 20)


def test_stray_accesses(toolchain: Toolchain, machine: Callable[..., Machine], htrun: Htrun) -> None:
    """A machine cannot be killed through the channel: stores outside the slots are ignored, with a warning."""
    tested = machine(X86_64, "/bin/stray_accesses", "/bin/emit_many 100 2")
    tested = replace(tested, programs={**tested.programs, "stray_accesses": guest("stray_accesses", X86_64, toolchain)})
    result = tested.run(htrun, installed_qemu("qemu-system-x86_64"), "-smp", "2").check()
    assert said(result)[1:] == ["as before", "2 threads emitted 100 events each"]
    assert len(result.events) == 1 + 200
    assert result.summary["warnings"]["header-store"] > 0
    assert all(line.startswith("htrun: warning: ") for line in result.stderr.splitlines())


def test_without_privilege_or_module(machine: Callable[..., Machine], htrun: Htrun) -> None:
    result = machine(X86_64, "user /bin/my-hypertrace").run(htrun, installed_qemu("qemu-system-x86_64"))
    assert [event.args for event in result.check().events] == [ARGUMENTS]
    assert said(result)[1:] == [
        "error: qemu_hypertrace_init: Permission denied",
        "init: user /bin/my-hypertrace: 134",
    ]
