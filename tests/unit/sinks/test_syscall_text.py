"""System calls as text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from htrun.events.definitions import DEFINITIONS, USER_SYSCALL, USER_SYSCALL_RET, Definition
from htrun.events.records import event_dtype
from htrun.events.syscalls import ARCH_I386, ARCH_X86_64, table
from htrun.sinks.columns import text_of
from htrun.sinks.syscall_text import is_call, lines, objects

if TYPE_CHECKING:
    from htrun.events.records import Events

_X86_64, _I386 = table(ARCH_X86_64).numbers, table(ARCH_I386).numbers


def calls(definition: Definition, rows: list[tuple[int, int, list[int]]]) -> Events:
    """Events of interfaces, numbers and arguments."""
    events = np.zeros(len(rows), event_dtype(8))
    events["kind"] = DEFINITIONS.index(definition)
    for event, (arch, number, args) in zip(events, rows, strict=True):
        event["arch"], event["num"] = arch, number
        event["args"][: len(args)] = args
    return events


def texts(definition: Definition, rows: list[tuple[int, int, list[int]]]) -> list[str]:
    """Each event's line."""
    events = calls(definition, rows)
    return [
        text_of([(slice(None), lines(definition, events)[place : place + 1])], 1).decode() for place in range(len(rows))
    ]


def test_calls() -> None:
    assert texts(
        USER_SYSCALL,
        [
            (ARCH_X86_64, _X86_64["openat"], [2**32 - 100, 0x7F00, 0, 0]),
            (ARCH_X86_64, _X86_64["close"], [2**64 - 1]),
            (ARCH_I386, _I386["openat"], [2**32 - 100, 0, 1]),
            (ARCH_X86_64, _X86_64["lseek"], [3, 2**64 - 5, 1]),
            (ARCH_I386, _I386["lseek"], [3, 2**32 - 5, 1]),
            (ARCH_X86_64, _X86_64["rt_sigreturn"], [9]),
            (ARCH_X86_64, _X86_64["openat"], [3, 0, 0o2000000, 0]),
            (ARCH_X86_64, _X86_64["write"], [1, 2**64 - 1, 2**64 - 1]),
        ],
    ) == [
        "openat(dirfd=AT_FDCWD, filename=0x7f00, flags=O_RDONLY, mode=00)",
        "close(fd=-1)",
        "openat(dirfd=AT_FDCWD, filename=0x0, flags=O_WRONLY, mode=00)",
        "lseek(fd=3, offset=-5, whence=SEEK_CUR)",
        "lseek(fd=3, offset=-5, whence=SEEK_CUR)",
        "rt_sigreturn()",
        "openat(dirfd=3, filename=0x0, flags=O_RDONLY|O_CLOEXEC, mode=00)",
        "write(fd=1, buf=0xffffffffffffffff, count=18446744073709551615)",
    ]


def test_results() -> None:
    assert texts(
        USER_SYSCALL_RET,
        [
            (ARCH_X86_64, _X86_64["read"], [0]),
            (ARCH_X86_64, _X86_64["read"], [12345]),
            (ARCH_X86_64, _X86_64["read"], [2**64 - 9]),
            (ARCH_X86_64, _X86_64["read"], [2**64 - 512]),
            (ARCH_X86_64, _X86_64["mmap"], [0x7F0012345000]),
            (ARCH_X86_64, _X86_64["mmap"], [0]),
            (ARCH_X86_64, _X86_64["mmap"], [2**64 - 12]),
            (ARCH_I386, _I386["mmap2"], [0xF7F00000]),
            (ARCH_X86_64, 1999, [2**64 - 38]),
        ],
    ) == [
        "read = 0",
        "read = 12345",
        "read = -9 EBADF",
        "read = -512 ERESTARTSYS",
        "mmap = 0x7f0012345000",
        "mmap = 0x0",
        "mmap = -12 ENOMEM",
        "mmap2 = 0xf7f00000",
        "syscall_1999 = -38 ENOSYS",
    ]


@pytest.mark.parametrize(
    ("definition", "row", "expected"),
    [
        (
            USER_SYSCALL,
            (ARCH_X86_64, _X86_64["openat"], [2**32 - 100, 0x10, 1, 0o644]),
            {"name": "openat", "args": {"dirfd": "AT_FDCWD", "filename": "0x10", "flags": "O_WRONLY", "mode": "0644"}},
        ),
        (USER_SYSCALL, (ARCH_X86_64, _X86_64["close"], [2**64 - 1]), {"name": "close", "args": {"fd": -1}}),
        (USER_SYSCALL, (ARCH_X86_64, _X86_64["getpid"], []), {"name": "getpid", "args": {}}),
        (USER_SYSCALL_RET, (ARCH_X86_64, _X86_64["brk"], [0x1000]), {"name": "brk", "result": "0x1000"}),
        (
            USER_SYSCALL_RET,
            (ARCH_X86_64, _X86_64["mmap"], [2**64 - 12]),
            {"name": "mmap", "result": -12, "error": "ENOMEM"},
        ),
        (USER_SYSCALL_RET, (ARCH_X86_64, _X86_64["read"], [7]), {"name": "read", "result": 7}),
    ],
)
def test_objects(definition: Definition, row: tuple[int, int, list[int]], expected: dict[str, object]) -> None:
    other = (ARCH_X86_64, _X86_64["mmap"], [2**63])
    columns = objects(definition, calls(definition, [other, row, other]))
    assert json.loads(text_of([(slice(None), columns[1:2])], 1)) == expected


def test_which_events_are_calls() -> None:
    assert [definition.name for definition in DEFINITIONS if is_call(definition)] == [
        "guest_user_syscall",
        "guest_user_syscall_ret",
    ]
