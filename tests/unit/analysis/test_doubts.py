"""The facts of a run that make its times doubtful, and the differences of two runs that are reported."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from htrun.analysis.timing.doubts import ENVIRONMENT, differences, doubts, environment_of, is_emulated

Facts = Mapping[str, str | int]

SOUND: Facts = {
    "clock_source": "tsc",
    "cpu_governor": "performance",
    "cpu_turbo": "off",
    "hypervisor": 0,
    "cpu_count": 4,
    "load": "0.30",
    "emulator": "",
}


def test_of_a_quiet_machine_nothing_is_doubted() -> None:
    assert list(doubts(SOUND)) == []
    # There is also no doubt if nothing is known: a virtual machine has no governor.
    assert list(doubts({})) == []


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"clock_source": "monotonic"}, "counter could not be trusted"),
        ({"cpu_governor": "powersave"}, "governor powersave"),
        ({"cpu_governor": "performance,powersave"}, "governor performance,powersave"),
        ({"cpu_turbo": "on"}, "turbo is on"),
        ({"hypervisor": 1}, "the machine is virtual"),
        ({"load": "2.00"}, "busy when the run began (load 2.0 on 4 processors)"),
    ],
)
def test_each_doubt_is_one_line(facts: Facts, words: str) -> None:
    (line,) = doubts({**SOUND, **facts})
    assert words in line
    assert "\n" not in line


@pytest.mark.parametrize("facts", [{"load": "1.99"}, {"load": "?"}, {"cpu_count": 0}, {"cpu_count": "many"}])
def test_a_load_that_is_small_or_makes_no_sense_is_none(facts: Facts) -> None:
    assert list(doubts({**SOUND, "load": "0.1", **facts})) == []


@pytest.mark.parametrize(
    ("one", "other", "lines"),
    [
        ({}, {}, []),
        ({"hostname": "a"}, {"hostname": "a"}, []),
        ({"hostname": "a"}, {"hostname": "b"}, ["different machines: a, b"]),
        ({"clock_source": "tsc"}, {"clock_source": "monotonic"}, ["different clocks: tsc, monotonic"]),
        ({"timestamp": "tsc"}, {"timestamp": "ordered"}, ["different orders of time stamps: tsc, ordered"]),
        ({"cpu_governor": "powersave"}, {"cpu_governor": "schedutil"}, ["different governors: powersave, schedutil"]),
        ({"htrun_version": "0.1"}, {"htrun_version": "0.2"}, ["different versions of htrun: 0.1, 0.2"]),
        # A fact that is missing in one of them is not a difference,
        ({"cpu_turbo": "on"}, {}, []),
        ({"timestamp": "tsc"}, {}, []),
        # but the presence of an emulator is.
        ({}, {"emulator": "qemu-aarch64"}, ["different emulators: none, qemu-aarch64"]),
        ({"emulator": "qemu-arm"}, {"emulator": ""}, ["different emulators: qemu-arm, none"]),
        ({"load": "0.1", "command": "a"}, {"load": "3", "command": "b"}, []),
    ],
)
def test_differences(one: Facts, other: Facts, lines: list[str]) -> None:
    assert list(differences(one, other)) == lines


def test_the_environment_is_what_says_where_times_come_from() -> None:
    facts: Facts = {"cpu_model": "EPYC", "named_events": "[[event]]", "hypervisor": 0, "emulator": "", "uuid": "x"}
    assert environment_of(facts) == {"cpu_model": "EPYC", "hypervisor": 0}
    assert len(set(ENVIRONMENT)) == len(ENVIRONMENT)


def test_who_runs_under_an_emulator() -> None:
    assert is_emulated({"emulator": "qemu-x86_64"})
    assert not is_emulated({"emulator": ""})
    assert not is_emulated({})
