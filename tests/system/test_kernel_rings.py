"""Machines whose kernel module and programs write records to rings: without htrun, read by the test's own host."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support import ring_host
from tests.support.ring_host import Claim, RingHost
from tests.support.toolchain import Toolchain
from tests.system.machines import X86_64, Architecture, Machine, OtherMachine, guest, installed_qemu, readme_program

LOADED, ON_PROCESSOR, IN_TIMER, UNLOADED = 1, 2, 3, 4
KERNEL = 0xFFFFFFFF
"""The process in the `owner` of a processor's ring."""


def boot(
    directory: Path,
    toolchain: Toolchain,
    host: RingHost,
    modules: list[Path],
    steps: list[str],
    emulator: str = "qemu-system-x86_64",
    architecture: Architecture = X86_64,
) -> str:
    """Run a machine with two processors whose channel is the file of ``host``; returns its output."""
    programs = {"emit_many": guest("emit_many", architecture, toolchain)}
    programs["my-hypertrace"] = readme_program(architecture, toolchain)
    machine = Machine(architecture, toolchain, directory, steps, programs, modules)
    memory = f"memory-backend-file,id=hypertrace,share=on,mem-path={host.path},size={host.total}"
    device = ["-object", memory, "-device", "ivshmem-plain,memdev=hypertrace"]
    return host.run([*installed_qemu(emulator), *machine.arguments(), "-smp", "2", *device])


def by_kind(claims: list[Claim]) -> dict[int, list[int]]:
    """The numbers of the example's events, by kind, in the order of their rings."""
    args: NDArray[np.uint64] = np.concatenate([claim.records()["args"] for claim in claims])
    return {kind: args[args[:, 0] == kind][:, 1].tolist() for kind in (LOADED, ON_PROCESSOR, IN_TIMER, UNLOADED)}


def check_kernel(host: RingHost, count: int) -> None:
    """Check that the processors' rings contain the events of the example with ``count=COUNT``, each once, in order."""
    processors = [claim for claim in host.claims if claim.pid == KERNEL]
    assert [(claim.name, claim.tid) for claim in processors] == [("cpu0", 1), ("cpu1", 2)]
    for claim in processors:
        records = claim.records()
        times = records["time"].astype(np.uint64)
        assert np.all(times[1:] >= times[:-1])
        ours = records["args"][records["args"][:, 0] == ON_PROCESSOR]
        assert ours[:, 1].tolist() == list(range(count))
        assert set(ours[:, 2].tolist()) == {claim.tid - 1}
    kinds = by_kind(processors)
    assert len(kinds[LOADED]) == len(kinds[UNLOADED]) == 1
    assert sorted(kinds[IN_TIMER]) == list(range(count))


def check_program(host: RingHost, events: int, threads: int) -> None:
    """Check that the threads of ``emit_many EVENTS THREADS`` have all their events in separate rings."""
    claims = [claim for claim in host.claims if claim.pid != KERNEL and len(claim.records())]
    assert [claim.records()["args"][:, 0].tolist() for claim in claims] == [list(range(events))] * threads


@pytest.mark.parametrize("overflow", [ring_host.BLOCK, ring_host.DROP])
def test_kernel_and_programs(modules: list[Path], toolchain: Toolchain, tmp_path: Path, overflow: int) -> None:
    steps = [
        "insmod /qemu-hypertrace.ko",
        "insmod /qemu-hypertrace-example.ko count=2000",
        "user /bin/emit_many 5000 2 /dev/hypertrace",
        "rmmod qemu_hypertrace_example",
        "rmmod qemu_hypertrace",
    ]
    host = RingHost(tmp_path / "channel", mode=ring_host.ALL, overflow=overflow, rings=16, records=20000)
    output = boot(tmp_path, toolchain, host, modules, steps)
    assert "2 threads emitted 5000 events each" in output
    check_kernel(host, 2000)
    check_program(host, 5000, 2)
    assert host.dropped == host.passed_over == 0
    assert host.control_word() == host.control_word(8) == 0
    assert {claim.clock for claim in host.claims} == {ring_host.MONOTONIC_RAW}


def test_full_rings_hold_processors_up(modules: list[Path], toolchain: Toolchain, tmp_path: Path) -> None:
    steps = [
        "insmod /qemu-hypertrace.ko",
        "insmod /qemu-hypertrace-example.ko count=3000",
        "rmmod qemu_hypertrace_example",
    ]
    host = RingHost(tmp_path / "channel", mode=ring_host.ALL, rings=4, records=200, start=2**32 - 500)
    boot(tmp_path, toolchain, host, modules, steps)
    check_kernel(host, 3000)


def test_a_translated_machine_stores_where_rings_are_for_native_ones(
    modules: list[Path], toolchain: Toolchain, tmp_path: Path
) -> None:
    steps = ["insmod /qemu-hypertrace.ko", "insmod /qemu-hypertrace-example.ko", "user /bin/my-hypertrace"]
    host = RingHost(tmp_path / "channel", rings=4)
    boot(tmp_path, toolchain, host, modules, steps)
    assert host.claims == []
    assert host.control_word(8) == 0x01020304


def test_fewer_rings_than_processors(modules: list[Path], toolchain: Toolchain, tmp_path: Path) -> None:
    steps = ["insmod /qemu-hypertrace.ko", "insmod /qemu-hypertrace-example.ko"]
    host = RingHost(tmp_path / "channel", mode=ring_host.ALL, rings=1)
    boot(tmp_path, toolchain, host, modules, steps)
    assert [len(claim.records()) for claim in host.claims] in ([], [0])
    assert host.control_word(8) == 0x01020304


@pytest.mark.heavy("x86-64 is tried, too")
def test_other_architectures(other: OtherMachine, toolchain: Toolchain, tmp_path: Path) -> None:
    steps = [
        "insmod /qemu-hypertrace.ko",
        "insmod /qemu-hypertrace-example.ko count=1000",
        "user /bin/emit_many 3000 2 /dev/hypertrace",
        "rmmod qemu_hypertrace_example",
    ]
    host = RingHost(tmp_path / "channel", mode=ring_host.ALL, rings=16, records=500, start=2**32 - 300)
    boot(tmp_path, toolchain, host, other.modules, steps, other.emulator, other.architecture)
    check_kernel(host, 1000)
    check_program(host, 3000, 2)
