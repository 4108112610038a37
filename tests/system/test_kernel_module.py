"""The guest's kernel module: it builds without a warning; kernel code and unprivileged programs emit events through
it."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import lief
import pytest

from tests.support.run import Htrun, LogEvent
from tests.support.toolchain import ROOT, Toolchain
from tests.system.machines import (
    X86_64,
    Architecture,
    Machine,
    OtherMachine,
    guest,
    installed_qemu,
    readme_program,
    said,
)

ARGUMENTS = (0xCAFE, 0xBABE, 0xDEAD, 0xBEEF)
LOADED, ON_PROCESSOR, IN_TIMER, UNLOADED = 1, 2, 3, 4
TASK, SOFTIRQ, HARDIRQ, NMI, CONTEXTS = range(5)
FIRST_INDEX = 512
"""Half of the indexes that a channel has by default."""
EAGAIN = 11


def machine(
    steps: list[str],
    modules: list[Path],
    toolchain: Toolchain,
    directory: Path,
    architecture: Architecture = X86_64,
) -> Machine:
    programs = {name: guest(name, architecture, toolchain) for name in ("emit_many", "repeat_module")}
    programs["my-hypertrace"] = readme_program(architecture, toolchain)
    return Machine(architecture, toolchain, directory, steps, programs, modules)


def test_unprivileged_program(modules: list[Path], toolchain: Toolchain, htrun: Htrun, tmp_path: Path) -> None:
    steps = [
        "insmod /qemu-hypertrace.ko",
        "user /bin/my-hypertrace",
        "user /bin/emit_many 10000 2 /dev/hypertrace",
        "rmmod qemu_hypertrace",
        "insmod /qemu-hypertrace.ko mode=0600",
        "user /bin/my-hypertrace /dev/hypertrace",
    ]
    tested = machine(steps, modules, toolchain, tmp_path)
    result = tested.run(htrun, installed_qemu("qemu-system-x86_64"), "-smp", "2").check()
    assert said(result) == [
        "emitting hypertrace event",
        "2 threads emitted 10000 events each",
        "error: qemu_hypertrace_init: Permission denied",
        "init: user /bin/my-hypertrace /dev/hypertrace: 134",
    ]
    assert result.events[0].args == ARGUMENTS
    for thread in range(2):
        numbers = [event.args[0] for event in result.events[1:] if event.index == thread]
        assert numbers == list(range(10_000))


def test_kernel_code(modules: list[Path], toolchain: Toolchain, htrun: Htrun, tmp_path: Path) -> None:
    count = 1000
    steps = [
        "insmod /qemu-hypertrace.ko",
        f"insmod /qemu-hypertrace-example.ko count={count}",
        "rmmod qemu_hypertrace",
        "rmmod qemu_hypertrace_example",
        "rmmod qemu_hypertrace",
    ]
    tested = machine(steps, modules, toolchain, tmp_path)
    result = tested.run(htrun, installed_qemu("qemu-system-x86_64"), "-smp", "2").check()
    assert said(result) == [f"init: rmmod qemu_hypertrace: {EAGAIN}"], "the example keeps the module in use"
    check_kernel_events(result.events, count)


def check_kernel_events(events: list[LogEvent], count: int) -> None:
    """Check that ``events`` are those of the example with ``count=COUNT`` on two processors."""
    first, *others, last = events
    assert (first.index, first.args[0]) == (0, LOADED)
    assert last.args[:2] == (UNLOADED, count)
    by_kind = defaultdict(list)
    for event in others:
        what, number, processor, rest = event.args
        context = (event.index - FIRST_INDEX) % CONTEXTS
        assert (event.index - FIRST_INDEX) // CONTEXTS == processor == event.cpu
        assert rest == 0, "what an event has less is 0"
        by_kind[what, processor].append(number)
        # The processor that loads the module calls the function itself.
        assert context == HARDIRQ if what == IN_TIMER else context in (TASK, HARDIRQ)
    assert by_kind[ON_PROCESSOR, 0] == by_kind[ON_PROCESSOR, 1] == list(range(count))
    in_timer = sorted(by_kind[IN_TIMER, 0] + by_kind[IN_TIMER, 1])
    assert in_timer == list(range(count))


@pytest.mark.heavy("x86-64 is tried, too")
def test_other_architectures(other: OtherMachine, toolchain: Toolchain, htrun: Htrun, tmp_path: Path) -> None:
    """All functions of the module: it is loaded repeatedly, and used by kernel code and by programs."""
    steps = [
        "/bin/repeat_module 10 /qemu-hypertrace.ko qemu_hypertrace",
        "insmod /qemu-hypertrace.ko",
        "insmod /qemu-hypertrace-example.ko count=100",
        "rmmod qemu_hypertrace_example",
        "user /bin/my-hypertrace /dev/hypertrace",
    ]
    tested = machine(steps, other.modules, toolchain, tmp_path, other.architecture)
    result = tested.run(htrun, installed_qemu(other.emulator), "-smp", "2").check()
    assert said(result) == ["loaded and unloaded 10 times", "emitting hypertrace event"]
    *kernel_events, program_event = result.events
    check_kernel_events(kernel_events, 100)
    assert program_event.args == ARGUMENTS


@pytest.mark.heavy("ten times are tried, too")
def test_loaded_a_hundred_times(modules: list[Path], toolchain: Toolchain, htrun: Htrun, tmp_path: Path) -> None:
    """After it is unloaded, there is no device, no reservation of memory and no warning of the kernel."""
    steps = ["/bin/repeat_module 100 /qemu-hypertrace.ko qemu_hypertrace", "/bin/my-hypertrace"]
    result = machine(steps, modules[:1], toolchain, tmp_path).run(htrun, installed_qemu("qemu-system-x86_64")).check()
    assert said(result) == ["loaded and unloaded 100 times", "emitting hypertrace event"]
    assert [event.args for event in result.events] == [ARGUMENTS]


def test_other_device_refused(modules: list[Path], toolchain: Toolchain, htrun: Htrun, tmp_path: Path) -> None:
    """A device of the same kind without a channel is not used: there is no /dev/hypertrace."""
    other = tmp_path / "other"
    other.write_bytes(bytes(1 << 20))
    steps = ["insmod /qemu-hypertrace.ko", "/bin/my-hypertrace /dev/hypertrace"]
    result = machine(steps, modules[:1], toolchain, tmp_path).run(
        htrun,
        installed_qemu("qemu-system-x86_64"),
        *("-object", f"memory-backend-file,id=other,share=on,mem-path={other},size=1M"),
        *("-device", "ivshmem-plain,memdev=other"),
        options=("--no-device",),
    )
    assert said(result.check())[0] == "error: qemu_hypertrace_init: No such file or directory"
    assert result.events == []


def test_events_are_emitted_inline(modules: list[Path], tmp_path: Path) -> None:
    """Under an emulator, a call would cost as much as the event. The benchmark has the code with the most calls."""
    bench = ROOT / "bench"
    places = (f"MODULE={modules[0].parent}", f"BENCH={bench}")
    X86_64.kernel().build_modules(bench / "guests" / "linux-module", tmp_path / "bench", *places)
    binary = lief.ELF.parse(str(tmp_path / "bench" / "qemu-hypertrace-bench.ko"))
    assert binary is not None
    defined = {symbol.name for symbol in binary.symbols if symbol.shndx != 0}
    assert "emit_events" in defined
    assert "qemu_hypertrace" not in defined
