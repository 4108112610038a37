"""Machines under htrun whose kernel module and programs write records to the rings of the channel."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import htrun as reader
from tests.support.run import Htrun
from tests.support.toolchain import Toolchain
from tests.system.machines import X86_64, Machine, guest, installed_qemu, readme_program, said

LOADED, ON_PROCESSOR, IN_TIMER, UNLOADED = 1, 2, 3, 4
COUNT, EVENTS, THREADS = 2000, 500_000, 2


def test_linux_module_and_programs(modules: list[Path], toolchain: Toolchain, htrun: Htrun, tmp_path: Path) -> None:
    """A million events of programs, and events of the kernel, each once, in order, and with the names of their
    emitters."""
    steps = [
        "/bin/my-hypertrace",
        "insmod /qemu-hypertrace.ko",
        f"insmod /qemu-hypertrace-example.ko count={COUNT}",
        f"user /bin/emit_many {EVENTS} {THREADS} /dev/hypertrace",
        "rmmod qemu_hypertrace_example",
    ]
    programs = {"emit_many": guest("emit_many", X86_64, toolchain)}
    programs["my-hypertrace"] = readme_program(X86_64, toolchain)
    tested = Machine(X86_64, toolchain, tmp_path, steps, programs, modules)
    trace = tmp_path / "trace"
    options = ("--via", "ring", "-o", trace)
    result = tested.run(htrun, installed_qemu("qemu-system-x86_64"), "-smp", "2", options=options)
    assert result.status == 0, result.stderr
    assert result.stderr == ""
    assert said(result)[-1] == f"{THREADS} threads emitted {EVENTS} events each"
    assert result.summary["lost"] == 0
    assert result.summary["traps"] == 0
    assert result.summary["ring_events"] == result.summary["events"]
    clock = result.summary["machine_clock"]
    assert clock["answers"] > 5
    assert clock["jumps"] == 0
    numbers: dict[tuple[str, int], list[int]] = {}
    kinds: Counter[tuple[str, int]] = Counter()
    for event in reader.open(trace):
        if event.stream.pid == 0:
            assert event.stream.comm == f"cpu{event.stream.vcpu}"
            kinds[event.stream.comm, event.args[0]] += 1
            if event.args[0] == ON_PROCESSOR:
                numbers.setdefault((event.stream.comm, 0), []).append(event.args[1])
        else:
            numbers.setdefault((event.stream.comm, event.stream.tid), []).append(event.args[0])
    assert numbers.pop(("cpu0", 0)) == numbers.pop(("cpu1", 0)) == list(range(COUNT))
    assert kinds["cpu0", IN_TIMER] + kinds["cpu1", IN_TIMER] == COUNT
    assert [name for name, _ in numbers] == ["my-hypertrace", "emit_many", "emit_many"]
    [first], *others = numbers.values()
    assert first == 0xCAFE
    assert others == [list(range(EVENTS))] * THREADS


def test_reset(toolchain: Toolchain, htrun: Htrun, tmp_path: Path) -> None:
    """After a reset, the machine claims other rings. The jump of its clock is reported."""
    programs = {name: guest(name, X86_64, toolchain) for name in ("emit_many", "count_boots")}
    steps = ["/bin/emit_many 1000 1", "/bin/count_boots 2"]
    tested = Machine(X86_64, toolchain, tmp_path, steps, programs)
    qemu = installed_qemu("qemu-system-x86_64")
    result = tested.run(htrun, qemu, "-action", "reboot=reset", options=("--via", "ring")).check()
    assert said(result)[-1] == "boot 2"
    numbers = [event.args[0] for event in result.events]
    assert numbers == [number for boot in (1, 2) for number in (*range(1000), boot)]
    assert result.summary["traps"] == 0
    assert result.summary["machine_clock"]["jumps"] == 1
    assert result.summary["warnings"] == {"clock-jump": 1}
    [line] = result.stderr.splitlines()
    assert "the machine's clock and the host's have moved apart by" in line
