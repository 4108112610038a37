"""Collects facts about the machine that influence measured times, for the metadata of a trace.

Most facts are read from /proc and /sys after the program has started. A fact that the machine does not show is left
out; for example, a virtual machine has no governor.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from htrun.runner.measured_step import measured_step

if TYPE_CHECKING:
    from htrun.events.clock import ClockSource

_ROOT = Path("/")
_SWITCH = {"1": "on", "0": "off"}


def facts_at_start(
    program: Sequence[str], processors: frozenset[int] | None = None, root: Path = _ROOT
) -> dict[str, str | int]:
    """The facts that must be read before ``program`` starts: the processors that it may run on, the load of the machine
    without the program, and the emulated processor model if an emulator runs the program. ``program``: the command
    line, which may include an emulator and its options. ``processors``: None for the caller's processors. ``root``: the
    directory that contains /proc."""
    load, affinity = (
        _read(root / "proc/loadavg").partition(" ")[0],
        _ranges(sorted(processors or os.sched_getaffinity(0))),
    )
    return {"load": load, "affinity": affinity, "guest_cpu": _guest_cpu(program)}


def machine_facts(source: ClockSource, root: Path = _ROOT) -> dict[str, str | int]:
    """The facts that may be read at any time. ``source``: the clock of the time stamps. ``root``: the directory that
    contains /proc and /sys."""
    cpus = root / "sys/devices/system/cpu"
    step = measured_step(source)
    facts: dict[str, str | int | None] = {
        "clock_step_ticks": round(step),
        # Facts are whole numbers (CTF 1.8, section 7.3.2), but a step need not be one.
        "clock_step_milliticks": round(step * 1000),
        "cpu_model": _cpuinfo(root, "model name"),
        "cpu_count": os.cpu_count(),
        "cpu_governor": _governors(cpus),
        "cpu_turbo": _turbo(cpus),
        "cpu_smt": _SWITCH.get(_read(cpus / "smt/active")),
        "hypervisor": int("hypervisor" in _cpuinfo(root, "flags").split()),
        "aslr": _number(_read(root / "proc/sys/kernel/randomize_va_space")),
    }
    return {key: value for key, value in facts.items() if value is not None and value != ""}


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def _cpuinfo(root: Path, key: str) -> str:
    for line in _read(root / "proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""


def _governors(cpus: Path) -> str:
    """The governors of all processors, each named once."""
    return ",".join(sorted({_read(path) for path in cpus.glob("cpu*/cpufreq/scaling_governor")} - {""}))


def _turbo(cpus: Path) -> str | None:
    """``on`` or ``off``. intel_pstate shows whether turbo is forbidden, other drivers show whether it is allowed."""
    forbidden, allowed = _read(cpus / "intel_pstate/no_turbo"), _read(cpus / "cpufreq/boost")
    if forbidden:
        return "off" if forbidden == "1" else "on"
    return _SWITCH.get(allowed)


def _ranges(numbers: Sequence[int]) -> str:
    """``numbers`` in the form in which the kernel writes lists of processors, such as 0-3,8."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)


def _guest_cpu(program: Sequence[str]) -> str:
    """The processor model that a command line requests from an emulator: with ``-cpu MODEL``, or with QEMU_CPU for
    qemu-user."""
    for option, value in pairwise(program):
        if option in ("-cpu", "--cpu"):
            return value
    return os.environ.get("QEMU_CPU", "")
