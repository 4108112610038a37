"""Whether flags are live: examples with known answers, and runs of the code that show that dead flags have no
effect."""

from __future__ import annotations

import signal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from htrun.hosts.x86_64.liveness import BUDGET, flags_live
from tests.unit.hosts.x86_64.machine import ARITHMETIC_FLAGS, GENERAL, INT3, SITE, Machine

BASE = 0x40_1000


@pytest.mark.parametrize(
    ("code", "live"),
    [
        ("85c0", False),  # test: all six (AF is undefined, but written)
        ("4801c8", False),  # add
        ("31c0", False),  # xor
        ("4889d8 4883c001", False),  # mov; add
        ("7400", True),  # je
        ("0f94c0", True),  # sete
        ("9c", True),  # pushf
        ("9f", True),  # lahf
        ("480f44c1", True),  # cmove
        ("11c8", True),  # adc
        ("ffc0 85c0", False),  # inc keeps CF, test writes it
        ("ffc0 7200", True),  # inc; jb reads CF
        ("ffc0 ffc0 0f92c0", True),
        ("f9 85c0", False),  # stc; test
        ("f5", True),  # cmc reads CF
        ("c3", True),
        ("ffe0", True),  # jmp *%rax
        ("ffd0", True),  # call *%rax
        ("0f05", True),  # syscall saves the flags in r11
        ("0f0b", True),  # ud2
        ("cc", True),
        ("f4", True),  # hlt
        ("90" * 8, True),  # runs out of known bytes
        ("06", True),  # not an instruction
        ("d3e0 c3", True),  # shl %cl,%eax: by 0 it writes nothing
        ("c1e020 c3", True),  # shl $32,%eax, which is a shift by 0
        ("c1e003 c3", True),  # shl $3,%eax leaves AF undefined
        ("0fafc1 c3", True),  # imul leaves four undefined; AMD processors keep the old ones
        ("f3a6 c3", True),  # repe cmpsb: with rcx 0 it writes nothing
        ("eb02 9f90 85c0", False),  # jmp over lahf
        ("eb01 90 9f", True),
        ("e802000000 c390 85c0", False),  # call of test
        ("e300 85c0", False),  # jrcxz reads no flag; both sides
        ("e301 9f 85c0", True),  # one side reads
        ("e302 85c0 85c0", False),
        ("ebfe", False),  # an endless loop reads nothing
        ("e2fe 85c0", False),  # loop
    ],
)
def test_examples(code: str, live: bool) -> None:
    assert flags_live(bytes.fromhex(code.replace(" ", "")), BASE, BASE, generated=False) == live


def test_branches_of_generated_code_are_not_followed() -> None:
    code = bytes.fromhex("eb0085c0")
    assert not flags_live(code, BASE, BASE, generated=False)
    assert flags_live(code, BASE, BASE, generated=True)


@pytest.mark.parametrize(
    ("code", "live"),
    [
        ("4c896d00 e900000000", False),  # mov; jmp to the next block
        ("e900000000", False),
        ("ff24c500000000", False),  # jmp *table(,%rax,8)
        ("ffd0", False),  # a helper
        ("c3", False),
        ("4c896d00 0f8500000000", True),  # jne
        ("4c896d00 0f94c0", True),  # sete
        ("11c8 e900000000", True),  # adc
        ("85db 0f8c00000000", False),  # test; jl
        ("90" * 8, True),  # runs out of known bytes
        ("0f05", True),
    ],
)
def test_translated_code_passes_no_flags_on(code: str, live: bool) -> None:
    assert flags_live(bytes.fromhex(code.replace(" ", "")), BASE, BASE, generated=True, translated=True) == live


def test_it_looks_before_the_site_too() -> None:
    code = bytes.fromhex("85c0" + "ebfc")  # test; jmp back to it
    assert not flags_live(code, BASE, BASE + 2, generated=False)


def test_it_gives_up() -> None:
    assert flags_live(b"\x90" * 4 * BUDGET + b"\x85\xc0", BASE, BASE, generated=False)


PIECES = [
    "90", "4889d8", "488d4801", "85c0", "4801c8", "29d1", "ffc0", "ffc9", "f9", "f8", "d1e0", "d3e0", "c1e803",
    "0fafc1", "0f94c0", "0f92c1", "480f44c1", "11c8", "19d2", "9f", "f7d8", "f7d1", "0fbae003", "740190", "730190",
    "eb00", "0f4fd1", "c1c005", "d3d0", "0fa3c8", "0fb1c8", "f20f38f1c1",
]  # fmt: skip


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(st.sampled_from(PIECES), min_size=1, max_size=12), other=st.integers(0, ARITHMETIC_FLAGS))
def test_dead_flags_make_no_difference(machine: Machine, pieces: list[str], other: int) -> None:
    code = bytes.fromhex("".join(pieces)) + b"\x90" + INT3
    if flags_live(code, machine.at(SITE), machine.at(SITE), generated=False):
        return
    machine.write(SITE, code)
    ends = []
    for flags in (0, ARITHMETIC_FLAGS, other & ARITHMETIC_FLAGS):
        regs = machine.registers(
            **dict.fromkeys(GENERAL, 0x0123456789ABCDEF), rip=machine.at(SITE), eflags=0x202 | flags
        )
        after, number = machine.run(regs)
        assert number == signal.SIGTRAP
        ends.append([getattr(after, name) for name in (*GENERAL, "rip", "eflags")])
    assert ends[0] == ends[1] == ends[2]


def test_jumps_into_instructions_stay_safe(machine: Machine) -> None:
    """A jump into the middle of an instruction is followed as by the processor."""
    code = bytes.fromhex("eb01") + bytes.fromhex("b89f90")
    assert flags_live(code, machine.at(SITE), machine.at(SITE), generated=False)
