"""The plans that describe which texts of calls the machine code reads, and the texts that Python reads."""

from __future__ import annotations

import ctypes
import os

import pytest

from htrun.events.call_texts import Text
from htrun.events.syscalls import ARCH_I386, ARCH_X86_64, table
from htrun.hosts.call_plans import MOST_NUMBERS
from htrun.hosts.stops import Entry
from htrun.intercept.guest import AddressSpace, Process, SignalActions, Thread
from htrun.runner.call_texts import CallTexts
from htrun.tracee.memory import Memory


def number(name: str) -> int:
    """The plan of a call of 64-bit code."""
    return table(ARCH_X86_64).numbers[name]


@pytest.mark.parametrize(
    ("name", "plan"),
    [
        ("close", [0, 0, 0, 0, 0]),
        ("openat", [0, 0x80 | 7 << 3 | 1, 0, 0, 0]),
        ("write", [0, 0x80 | 2 << 3 | 1, 0, 0, 0]),
        ("readlink", [0, 0x80 | 7 << 3, 0, 0, 0x80 | 1]),
        ("getcwd", [0, 0, 0, 0, 0x80 | 7 << 3]),
        ("execve", [1, 0, 0, 0, 0]),
    ],
)
def test_plans(name: str, plan: list[int]) -> None:
    plans = CallTexts(entries=True, returns=True).plans(ARCH_X86_64)
    assert len(plans) == 8 * MOST_NUMBERS
    assert list(plans[8 * number(name) :][:8]) == [*plan, 0, 0, 0]


def test_plans_of_one_half_only() -> None:
    place = 8 * table(ARCH_I386).numbers["readlink"]
    assert CallTexts(entries=True, returns=False).plans(ARCH_I386)[place : place + 5] == bytes([0, 0xB8, 0, 0, 0])
    assert CallTexts(entries=False, returns=True).plans(ARCH_I386)[place : place + 5] == bytes([0, 0, 0, 0, 0x81])


def test_reading() -> None:
    memory = Memory(os.getpid())
    space = AddressSpace(memory)
    thread = Thread(os.getpid(), Process(os.getpid(), space, SignalActions()), 0)
    data = ctypes.create_string_buffer(b"x" * 40)
    words = (ctypes.c_char_p * 40)(*[b"word"] * 39)
    address, texts = ctypes.addressof(data), CallTexts(entries=True, returns=True)
    try:
        call = Entry(1, ARCH_X86_64, number("write"), (1, address, 40, 0, 0, 0))
        assert texts.entering(thread, call) == [Text(1, 0, b"x" * 32, cut=True)]
        call = Entry(1, ARCH_X86_64, number("execve"), (address, ctypes.addressof(words), 0, 0, 0, 0))
        path, *argv = texts.entering(thread, call)
        assert path == Text(0, 0, b"x" * 40)
        assert argv == [*(Text(1, place, b"word") for place in range(32)), Text(1, 32, b"", cut=True)]
        call = Entry(1, ARCH_X86_64, number("read"), (0, address, 40, 0, 0, 0))
        assert (texts.entering(thread, call), texts.pointer(call)) == ([], address)
        for result, found in ((5, [Text(1, 0, b"xxxxx")]), (0, [Text(1, 0, b"")]), (2**64 - 9, [])):
            returned = Entry(2, ARCH_X86_64, number("read"), (result,))
            assert texts.returned(thread, returned, address) == found
    finally:
        memory.close()


def test_a_long_command_line() -> None:
    """The words do not fit in a page of memory. No more words are read than of a short command line."""
    memory = Memory(os.getpid())
    thread = Thread(os.getpid(), Process(os.getpid(), AddressSpace(memory), SignalActions()), 0)
    argv = [b"x" * size for size in (255, 256, 257, 5000, 20_000)] + [b"word"] * 5000
    words = (ctypes.c_char_p * (len(argv) + 1))(*argv)
    call = Entry(1, ARCH_X86_64, number("execve"), (0, ctypes.addressof(words), 0, 0, 0, 0))
    try:
        found = CallTexts(entries=True, returns=True).entering(thread, call)
    finally:
        memory.close()
    expected = [Text(1, place, word[:256], len(word) > 256) for place, word in enumerate(argv[:32])]
    assert found == [*expected, Text(1, 32, b"", cut=True)]
