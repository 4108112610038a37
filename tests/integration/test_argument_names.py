"""``--decode`` shows the values of system calls' arguments as strace does, for each call of both interfaces."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import pytest

from htrun.events.syscall_arguments import Parameter, ValueKind, signature
from htrun.events.syscalls import ARCH_I386, ARCH_X86_64, table
from htrun.events.value_names import groups
from tests.support.argument_values import Call, Shown, meaning, shown_by_htrun, shown_by_strace
from tests.support.toolchain import Toolchain

_GUESTS = Path(__file__).parent / "guests"
_ARCHES = (ARCH_X86_64, ARCH_I386)
_NOT_ASKED_FOR = frozenset({"uretprobe", "restart_syscall", "rt_sigreturn", "sigreturn"})
"""Calls that a filter cannot refuse, and calls of which strace does not show the arguments."""
_SAID_OTHERWISE = {
    # Values whose meaning depends on another argument: htrun shows numbers.
    *("fcntl.2", "fcntl64.2", "prctl.1", "ptrace.2", "keyctl.1", "keyctl.2", "kcmp.3", "kcmp.4", "socket.2"),
    *("setsockopt.2", "getsockopt.2", "futex.5", "futex_time64.5", "fanotify_mark.3"),
    # Numbers that consist of several parts: htrun shows one number.
    *("ioctl.1", "mknod.2", "mknodat.3", "ustat.0", "quotactl.0", "quotactl_fd.1", "ioprio_set.2", "ipc.0", "ipc.2"),
    # The kernel counts pages; strace shows bytes.
    "mmap2.5",
    # Sets of signals in a word.
    *("ssetmask.0", "sigsuspend.0"),
    # The kernel takes an int; strace shows a word.
    *("readlink.2", "readlinkat.3", "socketpair.2", "sysfs.0", "rseq.1", "rseq.2", "rseq.3", "bdflush.0"),
}
"""Calls and positions of arguments that strace shows in another way."""
_IN_TWO = {
    **dict.fromkeys(("pread64", "pwrite64", "preadv", "pwritev", "preadv2", "pwritev2"), (3,)),
    **dict.fromkeys(("truncate64", "ftruncate64", "readahead", "fadvise64"), (1,)),
    **dict.fromkeys(("fadvise64_64", "sync_file_range"), (1, 2)),
    "fallocate": (2, 3),
    "fanotify_mark": (2,),
    "lookup_dcookie": (0,),
}
"""Positions at which calls of i386 take a 64-bit number in two consecutive arguments, which strace shows as one
number."""
_RUN_TOGETHER = re.compile(r"0x[0-9a-f]+0[0-7]{2,3}")
"""Flags without a name directly followed by a mode, in the text of strace 6.1."""
_OTHER_BITS = 0xDEF0_0000_0000_0000
"""The lower half of a word, where the kernel ignores the upper half."""


def _values(is_32: int, call: str, parameter: Parameter, chance: random.Random) -> Iterator[int]:
    if parameter.kind is ValueKind.ADDRESS:
        return
    yield from (0, 1, 7, 0xFFFFFFFF, 0x80000000, 0x12345)
    if not is_32:
        yield _OTHER_BITS | 3
    if parameter.kind is not ValueKind.NAMES:
        return
    yield from range(2, 70)
    yield from (1 << bit for bit in range(7, 32))
    known = [
        value
        for group in groups().values()
        if f"{call}.{parameter.name}" in group.arguments
        for value, _ in group.values
    ]
    yield from known
    yield from (chance.getrandbits(32) for _ in range(4))
    yield from (value | 1 << chance.randrange(32) for value in known[:40])


def _calls(is_32: int) -> list[Call]:
    """All calls, with many values of each argument."""
    arch, chance = _ARCHES[is_32], random.Random(20)
    calls = []
    for number, name in table(arch).names.items():
        if name in _NOT_ASKED_FOR:
            continue
        parameters = signature(arch, number).parameters
        calls.append(Call(is_32, number, (0,) * 6))
        for place, parameter in enumerate(parameters):
            for value in _values(is_32, name, parameter, chance):
                words = [0] * 6
                words[place] = value
                calls.append(Call(is_32, number, tuple(words)))
    return calls


@pytest.mark.parametrize("is_32", [0, 1], ids=["x86-64", "i386"])
def test_values_are_said_as_by_strace(is_32: int, toolchain: Toolchain, tmp_path: Path) -> None:
    program = toolchain.compile(_GUESTS / "calls_listed.c")
    calls = _calls(is_32)
    strace = shown_by_strace(program, calls)
    htrun = shown_by_htrun(program, calls, tmp_path / "log")
    assert len(strace) == len(htrun) == len(calls)
    wrong: dict[tuple[str, int], list[tuple[str, str | None]]] = {}
    for expected, found in zip(strace, htrun, strict=True):
        if expected.name == f"syscall_{table(_ARCHES[is_32]).numbers[found.name]:#x}":
            # These calls are too new for this strace.
            continue
        for place, (one, other) in enumerate(zip_longest(expected.arguments, _as_strace(found, is_32))):
            if one is None or f"{found.name}.{place}" in _SAID_OTHERWISE:
                continue
            if found.name in {"semget", "msgget"} and _RUN_TOGETHER.fullmatch(one):
                continue
            if other is None or meaning(one) != meaning(other):
                wrong.setdefault((found.name, place), []).append((one, other))
    assert not wrong


def _as_strace(call: Shown, is_32: int) -> tuple[str, ...]:
    """The arguments in strace's order, with the halves of wide numbers joined."""
    arguments = call.arguments
    if call.name == "clone":
        return arguments[1], arguments[0], *arguments[2:]
    if call.name == "_llseek":
        return arguments[0], _joined(arguments[2], arguments[1]), *arguments[3:]
    if not is_32 and call.name not in {"preadv2", "pwritev2"}:
        return arguments
    for place in _IN_TWO.get(call.name, ()):
        low, high = arguments[place : place + 2]
        # 64-bit code passes the whole number in the first argument.
        arguments = (*arguments[:place], _joined(low, high if is_32 else "0"), *arguments[place + 2 :])
    return arguments


def _joined(low: str, high: str) -> str:
    return f"{low}|{int(high) << 32:#x}"
