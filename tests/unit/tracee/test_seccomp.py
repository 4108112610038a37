"""The filters return the same decisions as a simple model. An interpreter of classic BPF executes them."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htrun.hosts.calls import Abi
from htrun.hosts.x86_64.abi import I386, X86_64
from htrun.tracee.seccomp import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_SHARED,
    MASK,
    RECORDED,
    WATCHED,
    WATCHED_AND_RECORDED,
    ChannelFilters,
    RecordedCalls,
    first_filter,
    mask_filter,
)

_ALLOW = 0x7FFF0000
_STOP = 0x7FF00000 | WATCHED
_START, _SIZE = 0x7F1234560000, 0x20000


def verdict(program: bytes, abi: Abi, name: str, *arguments: int) -> int:
    """The kernel's decision on a call (net/core/filter.c, for the instructions that htrun uses)."""
    mask = (1 << abi.bits) - 1
    words = [*(argument & mask for argument in arguments), *[0] * (6 - len(arguments))]
    data = struct.pack("<IIQ6Q", abi.numbers[name], abi.audit_arch, 0, *words)
    instructions = list(struct.iter_unpack("<HBBI", program))
    at = accumulator = index = 0
    while True:
        code, true, false, value = instructions[at]
        at += 1
        match code:
            case 0x20:
                (accumulator,) = struct.unpack_from("<I", data, value)
            case 0x00:
                accumulator = value
            case 0x07:
                index = accumulator
            case 0x1C:
                accumulator = (accumulator - index) & 0xFFFFFFFF
            case 0x05:
                at += value
            case 0x15:
                at += true if accumulator == value else false
            case 0x35:
                at += true if accumulator >= value else false
            case 0x45:
                at += true if accumulator & value else false
            case 0x2D:
                at += true if accumulator > index else false
            case 0x06:
                return int(value)
            case _:
                raise AssertionError(f"instruction {code:#x}")


@pytest.mark.parametrize("abi", [X86_64, I386], ids=["x86_64", "i386"])
def test_first_filter(abi: Abi) -> None:
    program = first_filter()
    assert verdict(program, abi, "mmap", 0, 4096, 3, MAP_SHARED, 3) == _STOP
    assert verdict(program, abi, "mmap", 0, 4096, 3, MAP_SHARED | MAP_ANONYMOUS, 3) == _ALLOW
    assert verdict(program, abi, "mmap", 0, 4096, 3, 2, 3) == _ALLOW
    assert verdict(program, abi, "rt_sigaction", 11, 0x1000) == _STOP
    assert verdict(program, abi, "rt_sigaction", 11, 0) == _ALLOW
    assert verdict(program, abi, "rt_sigaction", 10, 0x1000) == _ALLOW
    assert verdict(program, abi, "execve") == _STOP
    assert verdict(program, abi, "prctl", 22, 2) == _STOP
    assert verdict(program, abi, "prctl", 15) == _ALLOW
    assert verdict(program, abi, "prctl", 0x59616D61, 1) == _STOP
    for request in (0, 16, 0x4206):
        assert verdict(program, abi, "ptrace", request) == _STOP
    assert verdict(program, abi, "ptrace", 7) == _ALLOW
    assert verdict(program, abi, "seccomp", 1) == _STOP
    assert verdict(program, abi, "seccomp", 2) == _ALLOW
    assert verdict(program, abi, "munmap", _START, _SIZE) == _ALLOW


@pytest.mark.parametrize("name", ["munmap", "mprotect", "mremap"])
@given(
    start=st.integers(-0x40000, 0x40000).map(lambda offset: _START + (offset & ~0xFFF)),
    pages=st.integers(1, 1 << 20),
)
def test_a_call_that_touches_the_region_stops(name: str, start: int, pages: int) -> None:
    length = pages << 12
    touches = start < _START + _SIZE and start + length > _START
    stops = (
        verdict(ChannelFilters().between(_START, _START + _SIZE, process=False), X86_64, name, start, length) == _STOP
    )
    # A range of a gigabyte or more stops at any address.
    assert stops == (touches or length >= 1 << 30)


@given(start=st.integers(0, (1 << 47) - 1), length=st.integers(1, 1 << 40))
def test_no_call_that_touches_the_region_is_missed(start: int, length: int) -> None:
    program = ChannelFilters().between(_START, _START + _SIZE, process=False)
    if start < _START + _SIZE and start + length > _START:
        assert verdict(program, X86_64, "munmap", start, length) == _STOP
        assert verdict(program, X86_64, "mmap", start, length, 0, MAP_FIXED) == _STOP
        assert verdict(program, X86_64, "mmap", start, length, 0, 2) == _ALLOW


def test_a_filter_for_other_addresses_has_the_same_rules() -> None:
    """Filters for addresses in one block of 4 GiB are compiled together."""
    filters = ChannelFilters()
    for start in (_START, 0x10000, _START + (1 << 33)):
        program = filters.between(start, start + _SIZE, process=False)
        assert program == ChannelFilters().between(start, start + _SIZE, process=False)
        assert verdict(program, X86_64, "munmap", start, 0x1000) == _STOP
        assert verdict(program, X86_64, "munmap", start - 0x1000, 0x1000) == _ALLOW
        assert verdict(program, X86_64, "munmap", start - 0x1000, 0x1001) == _STOP
        assert verdict(program, X86_64, "munmap", start + _SIZE, 0x1000) == _ALLOW
        assert verdict(program, X86_64, "munmap", start + (1 << 32), 0x1000) == _ALLOW
    everything = filters.between((1 << 32) - 0x10000, (1 << 32) + 0x10000, process=False)
    assert verdict(everything, X86_64, "munmap", _START + _SIZE, 0x1000) == _STOP


def test_a_region_across_four_gigabytes_stops_everything() -> None:
    program = ChannelFilters().between((1 << 32) - 0x10000, (1 << 32) + 0x10000, process=False)
    assert verdict(program, X86_64, "munmap", 0x1000, 0x1000) == _STOP


@pytest.mark.parametrize("process", [False, True])
def test_processors_and_questions_for_the_action_of_sigsegv_are_watched_once(process: bool) -> None:
    program = ChannelFilters().between(_START, _START + _SIZE, process=process)
    expected = _STOP if process else _ALLOW
    assert verdict(program, X86_64, "sched_getaffinity") == expected
    assert verdict(program, X86_64, "rt_sigaction", 11, 0, 0x1000) == expected
    assert verdict(program, X86_64, "rt_sigaction", 10, 0, 0x1000) == _ALLOW
    assert verdict(program, I386, "sigaction", 11, 0, 0x1000) == expected
    assert verdict(program, X86_64, "rt_sigreturn") == _ALLOW
    assert verdict(program, X86_64, "rt_sigprocmask", 0, 0x1000) == _ALLOW


def test_changes_of_a_mask_are_watched_and_no_questions_for_it() -> None:
    program, stop = mask_filter(), 0x7FF00000 | MASK
    assert verdict(program, X86_64, "rt_sigreturn") == stop
    assert verdict(program, X86_64, "rt_sigprocmask", 0, 0x1000) == stop
    assert verdict(program, X86_64, "rt_sigprocmask", 0, 1 << 32) == stop
    assert verdict(program, X86_64, "rt_sigprocmask", 0, 0) == _ALLOW
    for name in ("sigreturn", "sigprocmask", "ssetmask"):
        assert verdict(program, I386, name, 0, 0x1000) == stop
    assert verdict(mask_filter(RecordedCalls(None)), X86_64, "rt_sigreturn") == 0x7FF00000 | WATCHED_AND_RECORDED


_RECORDED, _BOTH = 0x7FF00000 | RECORDED, 0x7FF00000 | WATCHED_AND_RECORDED
_SOME = RecordedCalls({X86_64.audit_arch: frozenset({0, 9, 59}), I386.audit_arch: frozenset({3, 11})})
_NUMBERS = {64: {"read": 0, "write": 1}, 32: {"read": 3, "write": 4}}


def numbered(abi: Abi) -> Abi:
    """``abi`` with two more calls by name."""
    return abi._replace(numbers={**abi.numbers, **_NUMBERS[abi.bits], "x32": 0x40000000})


@pytest.mark.parametrize("abi", [X86_64, I386], ids=["x86_64", "i386"])
def test_wanted_calls_are_recorded(abi: Abi) -> None:
    program = first_filter(_SOME)
    asked = numbered(abi)
    assert verdict(program, asked, "read") == _RECORDED
    assert verdict(program, asked, "write") == _ALLOW
    assert verdict(program, asked, "execve") == _BOTH
    assert verdict(program, asked, "execveat") == _STOP
    assert verdict(program, asked, "mmap", 0, 4096, 3, MAP_SHARED, 3) == (_BOTH if abi is X86_64 else _STOP)
    assert verdict(program, asked, "mmap", 0, 4096, 3, 2, 3) == (_RECORDED if abi is X86_64 else _ALLOW)
    assert verdict(program, asked, "sched_getaffinity") == _STOP


@pytest.mark.parametrize("abi", [X86_64, I386], ids=["x86_64", "i386"])
def test_all_calls_are_recorded(abi: Abi) -> None:
    program = first_filter(RecordedCalls(None))
    asked = numbered(abi)
    for name in ("read", "write", "x32"):
        assert verdict(program, asked, name) == _RECORDED
    assert verdict(program, asked, "execve") == _BOTH
    assert verdict(program, asked, "rt_sigaction", 11, 0x1000) == _BOTH
    assert verdict(program, asked, "rt_sigaction", 10, 0x1000) == _RECORDED


@pytest.mark.parametrize("abi", [X86_64, I386], ids=["x86_64", "i386"])
def test_without_a_channel_only_exec_matters(abi: Abi) -> None:
    program = first_filter(channel=False)
    assert verdict(program, abi, "execve") == _STOP
    assert verdict(program, abi, "mmap", 0, 4096, 3, MAP_SHARED, 3) == _ALLOW
    assert verdict(program, abi, "rt_sigaction", 11, 0x1000) == _ALLOW
    assert verdict(program, abi, "sched_getaffinity") == _ALLOW


def test_a_later_filter_knows_what_the_first_records() -> None:
    """Its stop has precedence."""
    program = ChannelFilters(_SOME).between(_START, _START + _SIZE, process=True)
    fixed = MAP_FIXED | MAP_SHARED
    assert verdict(program, X86_64, "mmap", _START, 4096, 3, fixed, 3) == _BOTH
    assert verdict(program, X86_64, "munmap", _START, 4096) == _STOP
    assert verdict(program, numbered(X86_64), "read") == _ALLOW
    everything = ChannelFilters(RecordedCalls(None)).between(_START, _START + _SIZE, process=True)
    assert verdict(everything, X86_64, "munmap", _START, 4096) == _BOTH
    assert verdict(everything, X86_64, "rt_sigaction", 11) == _BOTH
    assert verdict(everything, numbered(X86_64), "read") == _ALLOW
