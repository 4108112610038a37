"""The seccomp filters, which stop a tracee only at the few system calls that htrun must handle.

There are three filters, in classic BPF (seccomp(2), Documentation/networking/filter.rst). `first_filter` is installed
before the program's exec. One of `ChannelFilters` is added when a process has mapped a channel, which must be guarded
then. `mask_filter` is added when the signal masks of a process's threads matter. A call that no rule names costs only a
lookup in the kernel's cache of allowed calls.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import struct
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from htrun import hosts
from htrun.hosts.calls import Abi

WATCHED, RECORDED, WATCHED_AND_RECORDED, MASK = 0x4854, 0x4855, 0x4856, 0x4857
"""The data of stops by htrun's filters, which distinguishes these stops from those of a guest's own filters. The data
says whether htrun must handle the call, record the call, or both. MASK: the call changes a signal mask, and is not
recorded."""

_ALLOW = 0x7FFF0000
_TRACE = 0x7FF00000

_LD_ABS, _LD_IMM, _LDX_TAX, _SUB_X, _RET = 0x20, 0x00, 0x07, 0x1C, 0x06
_JA, _JEQ, _JGE, _JSET, _JGT_X = 0x05, 0x15, 0x35, 0x45, 0x2D

_NR, _ARCH, _ARGUMENTS = 0, 4, 16

MAP_SHARED = 0x01
MAP_FIXED = 0x10
MAP_ANONYMOUS = 0x20


class Half(Enum):
    """The 32 bits of a 64-bit argument that a condition tests (little-endian struct seccomp_data)."""

    LOW = 0
    HIGH = 4


class Test(Enum):
    """The comparison of a condition with half an argument."""

    EQUAL = "equal"
    NOT_EQUAL = "not equal"
    AT_LEAST = "at least"
    BELOW = "below"
    ANY_BIT = "any bit"
    NO_BIT = "no bit"


class Bound(Enum):
    """A 32-bit value that differs between filters with the same rules: a part of the addresses of the channel, which
    are ``[start, end)``."""

    HIGH = "upper half of each address"
    START = "lower half of the start"
    END = "lower half of the end"


class Condition(NamedTuple):
    """A test of half of ``argument`` (0 to 5) against ``value`` (32 bits)."""

    argument: int
    half: Half
    test: Test
    value: int | Bound


class Reaches(NamedTuple):
    """A test whether a range of memory that starts below ``start`` contains the byte at ``start``: ``start -
    argument[address] < argument[length]``."""

    address: int
    length: int
    start: int | Bound


class Rule(NamedTuple):
    """A rule to stop at call ``name`` if all conditions hold."""

    name: str
    conditions: tuple[Condition | Reaches, ...] = ()


Instruction = tuple[int, int, int, int | Bound]
_INSTRUCTION = struct.Struct("<HBBI")
_VALUE, _VALUE_OFFSET = struct.Struct("<I"), 4


class Template(NamedTuple):
    """A compiled filter. ``program``: an array of struct sock_filter. ``bounds``: the offsets in it at which values of
    the channel's addresses are still missing."""

    program: bytes
    bounds: tuple[tuple[int, Bound], ...]

    def filled(self, start: int, end: int) -> bytes:
        """The filter for a channel at the addresses ``[start, end)``."""
        low = (1 << 32) - 1
        values = {Bound.HIGH: start >> 32, Bound.START: start & low, Bound.END: end & low}
        program = bytearray(self.program)
        for offset, bound in self.bounds:
            _VALUE.pack_into(program, offset, values[bound])
        return bytes(program)


class RecordedCalls(NamedTuple):
    """The calls that must be recorded. ``numbers``: call numbers by interface (AUDIT_ARCH_*); None for all calls."""

    numbers: Mapping[int, frozenset[int]] | None

    def include(self, abi: Abi, number: int) -> bool:
        """Whether the call ``number`` of ``abi`` must be recorded."""
        return self.numbers is None or number in self.numbers.get(abi.audit_arch, ())


NO_CALLS = RecordedCalls({})


def _test(condition: Condition, to_next_rule: int) -> list[Instruction]:
    load = (_LD_ABS, 0, 0, _ARGUMENTS + 8 * condition.argument + condition.half.value)
    skip = to_next_rule - 2
    match condition.test:
        case Test.EQUAL:
            jump = (_JEQ, 0, skip, condition.value)
        case Test.NOT_EQUAL:
            jump = (_JEQ, skip, 0, condition.value)
        case Test.AT_LEAST:
            jump = (_JGE, 0, skip, condition.value)
        case Test.BELOW:
            jump = (_JGE, skip, 0, condition.value)
        case Test.ANY_BIT:
            jump = (_JSET, 0, skip, condition.value)
        case Test.NO_BIT:
            jump = (_JSET, skip, 0, condition.value)
    return [load, jump]


def _reaches(condition: Reaches, to_next_rule: int) -> list[Instruction]:
    return [
        (_LD_ABS, 0, 0, _ARGUMENTS + 8 * condition.address),
        (_LDX_TAX, 0, 0, 0),
        (_LD_IMM, 0, 0, condition.start),
        (_SUB_X, 0, 0, 0),
        (_LDX_TAX, 0, 0, 0),
        (_LD_ABS, 0, 0, _ARGUMENTS + 8 * condition.length),
        (_JGT_X, 0, to_next_rule - 7, 0),
    ]


def _compile_rule(rule: Rule, stop: Instruction) -> list[Instruction]:
    """Instructions that end with ``stop`` if all conditions of ``rule`` hold, and otherwise continue after them."""
    sizes = [7 if isinstance(condition, Reaches) else 2 for condition in rule.conditions]
    left = sum(sizes) + 1
    program: list[Instruction] = []
    for condition, size in zip(rule.conditions, sizes, strict=True):
        program += _reaches(condition, left) if isinstance(condition, Reaches) else _test(condition, left)
        left -= size
    return [*program, stop]


def _compile_abi(
    abi: Abi, rules: Iterable[Rule], calls: RecordedCalls, *, record: bool, watched: int
) -> list[Instruction]:
    """The part of a filter for one interface. Each call number is tested once: when a filter is installed, the kernel
    runs it for all numbers, to find those that it always allows (kernel/seccomp.c, seccomp_cache_prepare_bitmap)."""
    rules_of: dict[int, list[Rule]] = {}
    for rule in rules:
        if rule.name in abi.numbers:
            rules_of.setdefault(abi.numbers[rule.name], []).append(rule)
    if record and calls.numbers is not None:
        for number in sorted(calls.numbers.get(abi.audit_arch, ())):
            rules_of.setdefault(number, [])
    body: list[Instruction] = [(_LD_ABS, 0, 0, _NR)]
    for number, own in rules_of.items():
        recorded = calls.include(abi, number)
        stop = (_RET, 0, 0, _TRACE | (WATCHED_AND_RECORDED if recorded else watched))
        block = [step for rule in own for step in _compile_rule(rule, stop)]
        block.append((_RET, 0, 0, _otherwise(recorded=record and recorded)))
        body += [(_JEQ, 0, len(block), number), *block]
    return [*body, (_RET, 0, 0, _otherwise(recorded=record and calls.numbers is None))]


def _otherwise(*, recorded: bool) -> int:
    """The verdict on a call for which no rule holds."""
    return _TRACE | RECORDED if recorded else _ALLOW


def _compile(
    rules: Sequence[Rule], rules_32: Sequence[Rule], calls: RecordedCalls, *, record: bool, watched: int = WATCHED
) -> Template:
    """The filter of both interfaces. The architecture is tested first, since a call number has another meaning in
    32-bit code.

    If several filters stop at a call, the thread gets the stop of the filter that was installed last. So each filter
    must know ``calls``. Only the first filter must stop (``record``) at calls for which it has no other rule.
    """
    host = hosts.current()
    native, compat = host.native, host.compat
    body_64 = _compile_abi(native, rules, calls, record=record, watched=watched)
    body_32 = _compile_abi(compat, rules_32, calls, record=record, watched=watched)
    program: list[Instruction] = [
        (_LD_ABS, 0, 0, _ARCH),
        (_JEQ, 1, 0, native.audit_arch),
        (_JA, 0, 0, len(body_64) + 3),
        (_LD_ABS, 0, 0, _NR),
        (_JGE, 0, 1, host.no_number_above),
        (_RET, 0, 0, _otherwise(recorded=record and calls.numbers is None)),
        *body_64,
        (_JEQ, 1, 0, compat.audit_arch),
        (_RET, 0, 0, _ALLOW),
        *body_32,
    ]
    packed, bounds = bytearray(), []
    for code, true, false, value in program:
        if isinstance(value, Bound):
            bounds.append((len(packed) + _VALUE_OFFSET, value))
        packed += _INSTRUCTION.pack(code, true, false, 0 if isinstance(value, Bound) else value)
    return Template(bytes(packed), tuple(bounds))


def _low(argument: int, test: Test, value: int | Bound) -> Condition:
    return Condition(argument, Half.LOW, test, value)


_SHARED_FILE = (_low(3, Test.ANY_BIT, MAP_SHARED), _low(3, Test.NO_BIT, MAP_ANONYMOUS))
_SIGSEGV_SET = (_low(0, Test.EQUAL, signal.SIGSEGV),)

_PR_SET_SECCOMP = 22

PTRACE_TRACEME, PTRACE_ATTACH, PTRACE_SEIZE = 0, 16, 0x4206
"""Requests by which a process becomes a tracee or a tracer (<linux/ptrace.h>)."""
PR_SET_PTRACER = 0x59616D61
"""A prctl(2) that allows another process to trace the caller where only parents may (<linux/prctl.h>, Yama)."""
TRACER_RULES = (
    *(Rule("ptrace", (_low(0, Test.EQUAL, request),)) for request in (PTRACE_TRACEME, PTRACE_ATTACH, PTRACE_SEIZE)),
    Rule("prctl", (_low(0, Test.EQUAL, PR_SET_PTRACER),)),
)
_PROCESSOR_RULES = (Rule("sched_setaffinity"), Rule("sched_getaffinity"))
_EXEC_RULES = (Rule("execve"), Rule("execveat"))
_FILTER_RULES = (
    Rule("seccomp", (_low(0, Test.BELOW, 2),)),
    Rule("prctl", (_low(0, Test.EQUAL, _PR_SET_SECCOMP),)),
)
_CHANNEL_RULES = (
    Rule("mmap", _SHARED_FILE),
    Rule("rt_sigaction", (*_SIGSEGV_SET, _low(1, Test.NOT_EQUAL, 0))),
    *_FILTER_RULES,
    Rule("mlockall"),
    Rule("munlockall"),
)
_CHANNEL_RULES_32 = (
    *_CHANNEL_RULES,
    Rule("old_mmap"),
    Rule("sigaction", (*_SIGSEGV_SET, _low(1, Test.NOT_EQUAL, 0))),
    Rule("signal", _SIGSEGV_SET),
)


def first_filter(calls: RecordedCalls = NO_CALLS, *, channel: bool = True) -> bytes:
    """The filter that stops at exec, at calls by which a process becomes a tracer, and at ``calls``, which are
    recorded. With ``channel``, it also stops at calls that matter before a channel is mapped: mmap of shared files,
    changes of SIGSEGV's action, and installation of the guest's own filters.

    If a thread makes many recorded calls, htrun may bind it to one processor for a while. So with ``calls``, the filter
    also stops at calls that query or set processors.
    """
    rules = (*_EXEC_RULES, *TRACER_RULES)
    if calls != NO_CALLS:
        rules = (*rules, *_PROCESSOR_RULES, *(() if channel else _FILTER_RULES))
    rules_64, rules_32 = (_CHANNEL_RULES, _CHANNEL_RULES_32) if channel else ((), ())
    return _compile((*rules_64, *rules), (*rules_32, *rules), calls, record=True).program


def _guard(name: str, *more: Condition) -> tuple[Rule, ...]:
    """Rules for a call whose first two arguments are the address and the length of a range."""
    same_high = Condition(0, Half.HIGH, Test.EQUAL, Bound.HIGH)
    return (
        Rule(name, (*more, same_high, _low(0, Test.AT_LEAST, Bound.START), _low(0, Test.BELOW, Bound.END))),
        Rule(name, (*more, same_high, _low(0, Test.BELOW, Bound.START), Reaches(0, 1, Bound.START))),
        # A range of at least this length may start below the 4 GiB block that contains the region.
        Rule(name, (*more, _low(1, Test.AT_LEAST, 1 << 30))),
        Rule(name, (*more, Condition(1, Half.HIGH, Test.NOT_EQUAL, 0))),
    )


class ChannelFilters:
    """The filters that stop at calls that could unmap, move, replace or unprotect memory of the channel. They are
    compiled once, since each program that maps the channel needs one for its own addresses."""

    def __init__(self, calls: RecordedCalls = NO_CALLS) -> None:
        """``calls``: the calls that the first filter records."""
        self._calls = calls
        self._templates: dict[tuple[bool, bool], Template] = {}

    def between(self, start: int, end: int, *, process: bool) -> bytes:
        """The filter for the memory ``[start, end)``. ``process``: whether it also stops at calls that query SIGSEGV's
        action, and at calls that query or set processors. In each process, one of the channel filters must do so."""
        bounded = start >> 32 == (end - 1) >> 32 and end & 0xFFFFFFFF != 0
        template = self._templates.get((bounded, process))
        if template is None:
            template = self._templates[bounded, process] = self._compiled(bounded=bounded, process=process)
        return template.filled(start, end)

    def _compiled(self, *, bounded: bool, process: bool) -> Template:
        """``bounded``: whether the memory lies in one block of 4 GiB; otherwise the filter stops at all addresses."""
        fixed = _low(3, Test.ANY_BIT, MAP_FIXED)
        names = ("munmap", "mprotect", "pkey_mprotect", "mremap")
        rules: list[Rule] = []
        for name in names:
            rules += _guard(name) if bounded else [Rule(name)]
        rules += _guard("mmap", fixed) if bounded else [Rule("mmap", (fixed,))]
        if process:
            rules += [Rule(name, _SIGSEGV_SET) for name in ("rt_sigaction", "sigaction")] + list(_PROCESSOR_RULES)
        return _compile(rules, rules, self._calls, record=False)


def mask_filter(calls: RecordedCalls = NO_CALLS) -> bytes:
    """The filter that stops at calls that change a signal mask. ``calls``: the calls that the first filter records."""
    rules = [Rule(name) for name in ("rt_sigreturn", "sigreturn", "ssetmask")]
    for name in ("rt_sigprocmask", "sigprocmask"):
        rules += [Rule(name, (Condition(1, half, Test.NOT_EQUAL, 0),)) for half in Half]
    return _compile(rules, rules, calls, record=False, watched=MASK).program


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def program_header(abi: Abi, program: bytes, address: int) -> bytes:
    """A struct sock_fprog for ``program``, an array of sock_filter at ``address`` in a tracee."""
    count = len(program) // 8
    return struct.pack("<HHI", count, 0, address) if abi.bits == 32 else struct.pack("<H6xQ", count, address)


_SET_MODE_FILTER = 1
FLAG_TSYNC = 1
_PR_SET_NO_NEW_PRIVS = 38


def install(program: bytes) -> None:
    """Install a filter in the calling process. Raises OSError if the kernel or an outer sandbox forbids it.

    Without CAP_SYS_ADMIN the kernel requires no_new_privs. This changes nothing for a set-user-id program, since it
    gains no privileges under ptrace anyway (execve(2)).
    """
    libc = ctypes.CDLL(None, use_errno=True)
    code = ctypes.create_string_buffer(program, len(program))
    header = _Program(len(program) // 8, ctypes.addressof(code))

    def attempt() -> int:
        result: int = libc.syscall(hosts.current().native.numbers["seccomp"], _SET_MODE_FILTER, 0, ctypes.byref(header))
        return 0 if result == 0 else ctypes.get_errno()

    code_number = attempt()
    if code_number == errno.EACCES:
        if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_NO_NEW_PRIVS)")
        code_number = attempt()
    if code_number:
        raise OSError(code_number, f"seccomp: {os.strerror(code_number)}")
