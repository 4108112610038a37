"""Every function of a guest's kernel is traced through the channel for a while. No event is lost, and the machine
continues."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

import htrun as package
from tests.support.run import Htrun
from tests.support.toolchain import Toolchain
from tests.system.machines import ARM64, X86_64, Architecture, Machine, guest, installed_qemu, later_qemu, said

TRACING = "/sys/kernel/tracing"
PROCESSORS = (0, 1)
# The guest's count is compared with the recorded functions, so both must begin and end with the same function. Tracing
# is enabled before a tracer is selected: otherwise, the kernel would empty its buffers after it has begun to fill them.
# At the end, a processor may have sent a function that it has not yet counted. It has counted it after a program has
# run on it.
STEPS = [
    "insmod /qemu-hypertrace.ko ftrace=1",
    f"write {TRACING}/tracing_on 1",
    f"write {TRACING}/current_tracer function",
    "/bin/emit_timed 10",
    f"write {TRACING}/tracing_on 0",
    f"/bin/visit_processors {len(PROCESSORS)}",
    *(f"copy {TRACING}/per_cpu/cpu{number}/stats" for number in PROCESSORS),
    f"write {TRACING}/current_tracer nop",
    "/bin/emit_timed 10",
    "rmmod qemu_hypertrace",
]


@pytest.mark.heavy("half a minute for each architecture; test_guest_trace.py tries the same of fewer events")
@pytest.mark.parametrize(
    ("architecture", "qemu", "emulator", "fixture"),
    [
        # Not the installed QEMU: see docs/troubleshooting.md, "A machine with several processors hangs".
        (X86_64, later_qemu, "qemu-system-x86_64", "modules"),
        (ARM64, installed_qemu, "qemu-system-aarch64", "arm64_modules"),
    ],
    ids=["x86_64", "aarch64"],
)
def test_every_function(
    architecture: Architecture,
    qemu: Callable[[str], list[str]],
    emulator: str,
    fixture: str,
    request: pytest.FixtureRequest,
    toolchain: Toolchain,
    htrun: Htrun,
    tmp_path: Path,
) -> None:
    programs = {name: guest(name, architecture, toolchain) for name in ("emit_timed", "visit_processors")}
    modules = request.getfixturevalue(fixture)[:1]
    tested = Machine(architecture, toolchain, tmp_path, STEPS, programs, modules)
    result = tested.run(htrun, qemu(emulator), "-smp", "2", options=("-o", tmp_path / "trace")).check()
    assert [line for line in said(result) if line.startswith("init:")] == []
    assert result.summary["lost"] == 0

    trace = package.open(tmp_path / "trace")
    numbers = []
    functions: Counter[int] = Counter()
    for event in trace:
        if event.name == "ftrace:function":
            functions[event.stream.vcpu] += 1
        elif event.name == "guest_hypertrace":
            assert event.index == 0, "a piece that was not decoded"
            numbers.append(event.args[0])
    assert numbers == [*range(10), *range(10)]
    # Everything that was written to the guest's own buffers, even if it was overwritten since.
    stated = [
        int(number) for number in re.findall(r"^(?:entries|overrun): (\d+)", "\n".join(said(result)), re.MULTILINE)
    ]
    assert [functions[number] for number in PROCESSORS] == [sum(stated[:2]), sum(stated[2:])]
    assert sum(stated) > 10_000
