"""What in the machine determines measured times: facts for a trace's metadata.

Most are read from /proc and /sys while the program runs already. What a machine does not show is left out (a virtual
one has no governor).
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from htrun.events.clock import ClockSource

_ROOT = Path("/")
_SWITCH = {"1": "on", "0": "off"}
_READINGS = 500
"""The number of readings of the clock: so many that the greatest common divisor of their differences is its step."""


def facts_at_start(
    program: Sequence[str], processors: frozenset[int] | None = None, root: Path = _ROOT
) -> dict[str, str | int]:
    """What must be read before ``program`` starts (with its emulator's options, if any): its ``processors`` (None: the
    caller's), how busy the machine was without it, and what processor an emulator shows it. ``root``: of /proc."""
    load, affinity = (
        _read(root / "proc/loadavg").partition(" ")[0],
        _ranges(sorted(processors or os.sched_getaffinity(0))),
    )
    return {"load": load, "affinity": affinity, "guest_cpu": _guest_cpu(program)}


def machine_facts(source: ClockSource, root: Path = _ROOT) -> dict[str, str | int]:
    """What may be read at any time. ``source``: of time stamps. ``root``: where /proc and /sys are."""
    cpus = root / "sys/devices/system/cpu"
    facts: dict[str, str | int | None] = {
        "clock_step_ticks": _step(source),
        "cpu_model": _cpuinfo(root, "model name"),
        "cpu_count": os.cpu_count(),
        "cpu_governor": _governors(cpus),
        "cpu_turbo": _turbo(cpus),
        "cpu_smt": _SWITCH.get(_read(cpus / "smt/active")),
        "hypervisor": int("hypervisor" in _cpuinfo(root, "flags").split()),
        "aslr": _number(_read(root / "proc/sys/kernel/randomize_va_space")),
    }
    return {key: value for key, value in facts.items() if value is not None and value != ""}


def _step(source: ClockSource) -> int:
    """The clock's smallest step in ticks: some processors' counters count in multiples of more than one."""
    readings = [source.read() for _ in range(_READINGS)]
    return math.gcd(*(after - before for before, after in pairwise(readings))) or 1


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
    """Of all processors, each once."""
    return ",".join(sorted({_read(path) for path in cpus.glob("cpu*/cpufreq/scaling_governor")} - {""}))


def _turbo(cpus: Path) -> str | None:
    """``on`` or ``off``: intel_pstate says whether it is forbidden, other drivers whether it is allowed."""
    forbidden, allowed = _read(cpus / "intel_pstate/no_turbo"), _read(cpus / "cpufreq/boost")
    if forbidden:
        return "off" if forbidden == "1" else "on"
    return _SWITCH.get(allowed)


def _ranges(numbers: Sequence[int]) -> str:
    """``numbers`` as the kernel writes lists of processors: 0-3,8."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)


def _guest_cpu(program: Sequence[str]) -> str:
    """The processor that an emulator is asked for: ``-cpu MODEL``, or, for qemu-user, QEMU_CPU."""
    for option, value in pairwise(program):
        if option in ("-cpu", "--cpu"):
            return value
    return os.environ.get("QEMU_CPU", "")
