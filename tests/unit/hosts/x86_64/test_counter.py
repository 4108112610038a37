"""Whether the time stamp counter is trusted, and the message if it is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from htrun.hosts.x86_64.counter import doubt_about_tsc

_CLOCK_SOURCE = "sys/devices/system/clocksource/clocksource0/current_clocksource"


def machine(root: Path, flags: str, source: str) -> Path:
    """A machine's files in ``root``."""
    (root / "proc").mkdir()
    (root / "proc/cpuinfo").write_text(f"processor\t: 0\nflags\t\t: fpu {flags}\n")
    (root / _CLOCK_SOURCE).parent.mkdir(parents=True)
    (root / _CLOCK_SOURCE).write_text(f"{source}\n")
    return root


@pytest.mark.parametrize("source", ["tsc", "kvm-clock"])
def test_an_invariant_counter(tmp_path: Path, source: str) -> None:
    assert doubt_about_tsc(machine(tmp_path, "constant_tsc nonstop_tsc", source)) == ""


@pytest.mark.parametrize(
    ("flags", "source", "expected"),
    [
        (
            "constant_tsc",
            "tsc",
            "this processor's time stamp counter is not invariant (/proc/cpuinfo lacks nonstop_tsc)",
        ),
        (
            "constant_tsc nonstop_tsc",
            "hpet",
            f"the kernel does not use the time stamp counter (/{_CLOCK_SOURCE} is hpet)",
        ),
    ],
)
def test_what_is_said_of_others(tmp_path: Path, flags: str, source: str, expected: str) -> None:
    assert doubt_about_tsc(machine(tmp_path, flags, source)) == expected


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A chroot without /sys says nothing about the processor."""
    file = machine(tmp_path, "constant_tsc nonstop_tsc", "tsc") / _CLOCK_SOURCE
    file.unlink()
    expected = f"cannot read {file} (No such file or directory), so the time stamp counter is not used"
    assert doubt_about_tsc(tmp_path) == expected
