"""The tables of system calls agree with the kernel's headers, and calls are decoded correctly."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from htrun.events.records import event_dtype
from htrun.events.syscall_arguments import ValueKind, error_name, signature
from htrun.events.syscalls import ARCH_I386, ARCH_X86_64, is_known, names_of, similar, table

_URETPROBE = 335
"""A number that Linux 6.11 assigned out of sequence."""
_HEADERS = Path("/usr/include/x86_64-linux-gnu/asm")
"""A header of linux-libc-dev, which a C compiler needs."""


@pytest.mark.parametrize(("arch", "header"), [(ARCH_X86_64, "unistd_64.h"), (ARCH_I386, "unistd_32.h")])
def test_names_and_numbers_are_the_kernels(arch: int, header: str) -> None:
    defined = re.findall(r"^#define __NR_(\w+) (\d+)$", (_HEADERS / header).read_text(), re.MULTILINE)
    numbers = {name: int(number) for name, number in defined}
    assert len(numbers) > 350
    known = table(arch)
    # The headers may be older than the table, or newer.
    both = {name: number for name, number in numbers.items() if number <= max(known.names)}
    assert {name: known.numbers.get(name) for name in both} == both
    newest = max(numbers.values())
    assert {number for number in known.names if number <= newest} - set(numbers.values()) <= {_URETPROBE}


@pytest.mark.parametrize("arch", [ARCH_X86_64, ARCH_I386])
def test_the_table_is_well_formed(arch: int) -> None:
    known = table(arch)
    assert list(known.names) == sorted(known.names)
    assert len(known.numbers) == len(known.names)
    for name in known.declarations:
        declared = known.declared(name)
        assert declared is not None
        assert len(declared) <= 6
        for type_, argument in declared:
            assert re.fullmatch(r"(const )?(\w+ )*\w+(\*const|\[\d\])?\**", type_), (name, type_)
            assert re.fullmatch(r"[a-z_]\w*", argument), (name, argument)


def test_declared_arguments() -> None:
    known = table(ARCH_X86_64)
    assert known.declared("write") == (("unsigned int", "fd"), ("const char*", "buf"), ("size_t", "count"))
    assert known.declared("getpid") == ()
    assert known.declared("tuxcall") is None
    assert known.declared("nonsense") is None
    assert table(ARCH_I386).declared("mmap") == (("void*", "args"),)


def test_numbers_without_a_name() -> None:
    assert table(ARCH_X86_64).name(1999) == "syscall_1999"
    assert table(0).name(1) == "syscall_1"


def test_names_that_are_meant() -> None:
    assert is_known("openat")
    assert is_known("socketcall")
    assert not is_known("opne")
    assert similar("opne")[0] == "open"


def test_names_of_a_batch() -> None:
    events = np.zeros(4, event_dtype(8))
    events["arch"] = [ARCH_X86_64, ARCH_I386, ARCH_X86_64, 0]
    events["num"] = [1, 1, 257, 7]
    assert names_of(events).tolist() == ["write", "exit", "openat", "syscall_7"]


@pytest.mark.parametrize(
    ("call", "values", "texts"),
    [
        ("openat", [0xFFFFFF9C, 1, 0o2000101, 0o644], ["AT_FDCWD", None, "O_WRONLY|O_CREAT|O_CLOEXEC", "0644"]),
        ("openat", [3, 1, 0o2, 0], ["3", None, "O_RDWR", "00"]),
        ("openat", [3, 1, 0x40000000, 0], ["3", None, "O_RDONLY|0x40000000", "00"]),
        ("mmap", [0, 1, 0, 0x22], [None, None, "PROT_NONE", "MAP_PRIVATE|MAP_ANONYMOUS"]),
        ("mprotect", [0, 1, 7], [None, None, "PROT_READ|PROT_WRITE|PROT_EXEC"]),
        ("access", [1, 0], [None, "F_OK"]),
        ("access", [1, 6], [None, "W_OK|R_OK"]),
        ("clone", [0x1200011], ["CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD"]),
        ("clone", [0], ["0"]),
        ("futex", [1, 129], [None, "FUTEX_WAKE_PRIVATE"]),
        ("socket", [2, 0o2000001], ["AF_INET", "SOCK_STREAM|SOCK_CLOEXEC"]),
        ("kill", [1, 9], [None, "SIGKILL"]),
        ("kill", [1, 0], [None, "0"]),
        ("rt_sigprocmask", [2], ["SIG_SETMASK"]),
        ("prlimit64", [0, 3], [None, "RLIMIT_STACK"]),
        ("lseek", [0, 0, 2], [None, None, "SEEK_END"]),
        ("lseek", [0, 0, 77], [None, None, "0x4d"]),
    ],
)
def test_names_of_values(call: str, values: list[int], texts: list[str | None]) -> None:
    parameters = signature(ARCH_X86_64, table(ARCH_X86_64).numbers[call]).parameters
    for parameter, value, text in zip(parameters, values, texts, strict=False):
        assert (parameter.text(value) if parameter.kind is ValueKind.NAMES else None) == text


def test_the_same_call_of_the_other_interface() -> None:
    numbers = table(ARCH_I386).numbers
    assert [parameter.name for parameter in signature(ARCH_I386, numbers["mmap2"]).parameters][:3] == [
        "addr",
        "len",
        "prot",
    ]
    for name, like in (
        ("fcntl64", "fcntl64"),
        ("getuid32", "getuid"),
        ("futex_time64", "futex"),
        ("_llseek", "llseek"),
    ):
        assert len(signature(ARCH_I386, numbers[name]).parameters) == {
            "fcntl64": 3, "getuid": 0, "futex": 6, "llseek": 5
        }[like]  # fmt: skip


def test_a_call_of_which_nothing_is_known() -> None:
    unknown = signature(ARCH_X86_64, 1999)
    assert unknown.name == "syscall_1999"
    assert [parameter.name for parameter in unknown.parameters] == [f"arg{number}" for number in range(1, 7)]


@pytest.mark.parametrize(
    ("result", "name"),
    [
        (0, None),
        (5, None),
        (-2, "ENOENT"),
        (-512, "ERESTARTSYS"),
        (-516, "ERESTART_RESTARTBLOCK"),
        (-4095, "errno 4095"),
    ],
)
def test_errors(result: int, name: str | None) -> None:
    assert error_name(result) == name
    assert error_name(-4096) is None
