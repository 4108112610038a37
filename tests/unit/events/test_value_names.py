"""The names of values: those that the installed headers define, and the text of a value."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from htrun.events.syscall_arguments import ValueKind, signature
from htrun.events.syscalls import ARCH_I386, ARCH_X86_64, table
from htrun.events.value_names import Group, groups

_MOST_KNOWN = 0.95
"""Some names are internal to the kernel and in no header for programs; some may be too new for the installed
headers."""


def _preprocessed(includes: str, *options: str) -> str:
    words = ["gcc", "-E", "-P", *options, "-x", "c", "-"]
    return subprocess.run(words, input=includes, capture_output=True, text=True, check=True).stdout


def _defined(group: Group, includes: str) -> list[tuple[int, str]]:
    words = set(re.findall(r"\w+", _preprocessed(includes, "-dM") + _preprocessed(includes)))
    return [(value, name) for value, name in group.values if set(name.split("|")) <= words]


def test_values_are_the_headers(tmp_path: Path) -> None:
    checked = 0
    for group in groups().values():
        includes = "".join(f"#include <{header}>\n" for header in group.headers)
        known = _defined(group, includes)
        checks = [f'_Static_assert((int)({name}) == (int){value}L, "{group.name}: {name}");' for value, name in known]
        source = tmp_path / f"{group.name}.c"
        source.write_text("#define _GNU_SOURCE\n#include <stddef.h>\n" + includes + "\n".join(checks) + "\n")
        done = subprocess.run(["gcc", "-fsyntax-only", source], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        checked += len(known)
    assert checked > _MOST_KNOWN * sum(len(group.values) for group in groups().values())


def test_each_group_belongs_to_arguments_there_are() -> None:
    for argument in (argument for group in groups().values() for argument in group.arguments):
        call, _, name = argument.partition(".")
        found = [
            parameter
            for arch in (ARCH_X86_64, ARCH_I386)
            if call in table(arch).numbers
            for parameter in signature(arch, table(arch).numbers[call]).parameters
        ]
        kinds = {parameter.kind for parameter in found if parameter.name == name}
        assert kinds == {ValueKind.NAMES}, argument


@pytest.mark.parametrize(
    ("arch", "call", "argument", "value", "text"),
    [
        (ARCH_X86_64, "faccessat2", "flags", 0x200, "AT_EACCESS"),
        (ARCH_X86_64, "open", "flags", 0x1000, "O_RDONLY|O_DSYNC"),
        (ARCH_X86_64, "open", "flags", 0x101001, "O_WRONLY|O_SYNC"),
        (ARCH_X86_64, "setrlimit", "resource", 15, "RLIMIT_RTTIME"),
        (ARCH_X86_64, "mmap", "flags", 0x80003, "MAP_SHARED_VALIDATE|MAP_SYNC"),
        (ARCH_X86_64, "mmap", "flags", 0x18001, "MAP_SHARED|MAP_POPULATE|MAP_NONBLOCK"),
        (ARCH_X86_64, "mmap", "flags", 21 << 26 | 0x40022, "MAP_PRIVATE|MAP_ANONYMOUS|MAP_HUGETLB|21<<MAP_HUGE_SHIFT"),
        (ARCH_X86_64, "futex", "op", 0x189, "FUTEX_WAIT_BITSET_PRIVATE|FUTEX_CLOCK_REALTIME"),
        (ARCH_X86_64, "futex", "op", 12, "FUTEX_CMP_REQUEUE_PI"),
        (ARCH_X86_64, "fcntl", "cmd", 1030, "F_DUPFD_CLOEXEC"),
        (ARCH_X86_64, "socket", "domain", 40, "AF_VSOCK"),
        (ARCH_X86_64, "pipe2", "flags", 0x80800, "O_NONBLOCK|O_CLOEXEC"),
        (ARCH_X86_64, "wait4", "options", 0x40000001, "WNOHANG|__WALL"),
        (ARCH_X86_64, "prctl", "option", 38, "PR_SET_NO_NEW_PRIVS"),
        (ARCH_X86_64, "chmod", "mode", 0xFFFF_0000_0000_01A4, "0644"),
        (ARCH_X86_64, "kill", "sig", 0x1_0000_000F, "SIGTERM"),
        (ARCH_X86_64, "kill", "sig", 34, "SIGRT_2"),
        (ARCH_X86_64, "setuid", "uid", 0x1_FFFF_FFFF, "-1"),
        (ARCH_X86_64, "setuid", "uid", 0x1_0000_FFFF, "65535"),
        (ARCH_I386, "setuid", "uid", 0xFFFF, "-1"),
        (ARCH_I386, "setuid32", "uid", 0xFFFF, "65535"),
        (ARCH_I386, "mprotect", "prot", 0xDEF0_0000_0000_0003, "PROT_READ|PROT_WRITE"),
        (ARCH_X86_64, "mprotect", "prot", 0, "PROT_NONE"),
        (ARCH_X86_64, "mknod", "mode", 0o10644, "S_IFIFO|0644"),
        (ARCH_X86_64, "shmget", "flag", 0o1600, "IPC_CREAT|0600"),
        (ARCH_X86_64, "semctl", "cmd", 0x102, "IPC_STAT|IPC_64"),
        (ARCH_X86_64, "clone", "flags", 0x1200011, "CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD"),
    ],
)
def test_text_of_a_value(arch: int, call: str, argument: str, value: int, text: str) -> None:
    parameters = signature(arch, table(arch).numbers[call]).parameters
    (parameter,) = (each for each in parameters if each.name == argument)
    assert parameter.kind is ValueKind.NAMES
    assert parameter.text(value) == text
