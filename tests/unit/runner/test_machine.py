"""Facts of a machine, read from files like those in /proc and /sys."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from htrun.events.clock import MonotonicSource, Sample
from htrun.runner.machine import facts_at_start, machine_facts

CPUINFO = """\
processor\t: 0
vendor_id\t: AuthenticAMD
model name\t: AMD EPYC 9B14
flags\t\t: fpu tsc hypervisor constant_tsc

processor\t: 1
model name\t: AMD EPYC 9B14
flags\t\t: fpu tsc hypervisor constant_tsc
"""


class SteppingSource(MonotonicSource):
    """A clock that advances in steps of 26. Two readings differ by one or three steps."""

    name = "stepping"

    def __init__(self) -> None:
        self._looks = 0

    def read(self) -> int:
        self._looks += 1
        return 26 * (2 * self._looks + self._looks % 2)

    def sample(self, clock_id: int) -> Sample:
        raise NotImplementedError


def machine(root: Path, files: Mapping[str, str]) -> Path:
    """A root directory with ``files``."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_all_that_a_machine_shows(tmp_path: Path) -> None:
    cpu = "sys/devices/system/cpu"
    root = machine(
        tmp_path,
        {
            "proc/cpuinfo": CPUINFO,
            "proc/sys/kernel/randomize_va_space": "2\n",
            f"{cpu}/cpu0/cpufreq/scaling_governor": "powersave\n",
            f"{cpu}/cpu1/cpufreq/scaling_governor": "performance\n",
            f"{cpu}/cpu2/cpufreq/scaling_governor": "powersave\n",
            f"{cpu}/intel_pstate/no_turbo": "0\n",
            f"{cpu}/smt/active": "1\n",
        },
    )
    assert machine_facts(SteppingSource(), root) == {
        "clock_step_ticks": 26,
        "clock_step_milliticks": 26000,
        "cpu_model": "AMD EPYC 9B14",
        "cpu_count": os.cpu_count(),
        "cpu_governor": "performance,powersave",
        "cpu_turbo": "on",
        "cpu_smt": "on",
        "hypervisor": 1,
        "aslr": 2,
    }


def test_what_a_machine_does_not_show_is_left_out(tmp_path: Path) -> None:
    facts = machine_facts(SteppingSource(), tmp_path)
    step = {"clock_step_ticks": 26, "clock_step_milliticks": 26000}
    assert facts == {**step, "cpu_count": os.cpu_count(), "hypervisor": 0}
    # Files with invalid content are left out as well.
    root = machine(
        tmp_path, {"proc/sys/kernel/randomize_va_space": "?", "sys/devices/system/cpu/smt/active": "forceoff"}
    )
    assert machine_facts(SteppingSource(), root) == facts


@pytest.mark.parametrize(
    ("files", "turbo"),
    [
        ({"intel_pstate/no_turbo": "1"}, "off"),
        ({"intel_pstate/no_turbo": "0"}, "on"),
        ({"cpufreq/boost": "1"}, "on"),
        ({"cpufreq/boost": "0"}, "off"),
        # The current driver determines the result, even if files of another driver exist.
        ({"intel_pstate/no_turbo": "1", "cpufreq/boost": "1"}, "off"),
    ],
)
def test_every_driver_says_in_its_own_way_whether_there_is_turbo(
    tmp_path: Path, files: Mapping[str, str], turbo: str
) -> None:
    root = machine(tmp_path, {f"sys/devices/system/cpu/{name}": text for name, text in files.items()})
    assert machine_facts(SteppingSource(), root)["cpu_turbo"] == turbo


def test_a_real_clock_has_a_step() -> None:
    step = machine_facts(MonotonicSource())["clock_step_ticks"]
    assert isinstance(step, int)
    assert step >= 1


@pytest.mark.parametrize(
    ("processors", "text"),
    [({0}, "0"), ({0, 1, 2, 3, 8}, "0-3,8"), ({5, 1, 2}, "1-2,5"), ({7, 9, 11}, "7,9,11")],
)
def test_processors_are_told_as_the_kernel_does(tmp_path: Path, processors: set[int], text: str) -> None:
    root = machine(tmp_path, {"proc/loadavg": "0.25 0.50 0.75 1/100 4711\n"})
    facts = facts_at_start(["app"], frozenset(processors), root)
    assert facts == {"load": "0.25", "affinity": text, "guest_cpu": ""}


def test_without_a_choice_the_processors_are_the_callers(tmp_path: Path) -> None:
    own = os.sched_getaffinity(0)
    told = str(facts_at_start(["app"], None, tmp_path)["affinity"])
    ranges = [part.split("-") for part in told.split(",")]
    assert {number for part in ranges for number in range(int(part[0]), int(part[-1]) + 1)} == own


@pytest.mark.parametrize(
    ("program", "variable", "found"),
    [
        (["qemu-x86_64", "-cpu", "Nehalem", "app"], None, "Nehalem"),
        (["qemu-system-aarch64", "--cpu", "max", "-m", "1G"], "cortex-a57", "max"),
        (["qemu-aarch64", "app"], "cortex-a57", "cortex-a57"),
        (["app", "-cpu"], None, ""),
    ],
)
def test_the_processor_that_an_emulator_shows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: list[str], variable: str | None, found: str
) -> None:
    monkeypatch.delenv("QEMU_CPU", raising=False)
    if variable is not None:
        monkeypatch.setenv("QEMU_CPU", variable)
    assert facts_at_start(program, None, tmp_path)["guest_cpu"] == found
