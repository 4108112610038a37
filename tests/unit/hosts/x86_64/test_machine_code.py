"""The machine code that htrun runs corresponds to its sources, and its numbers are those of Python and of the
kernel."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import htrun.hosts.x86_64.fastpath
from htrun.hosts.x86_64.registers import Registers
from tests.support.requirements import require_tool
from tests.support.toolchain import ROOT
from tools import assembly_constants

DIRECTORY = Path(htrun.hosts.x86_64.fastpath.__file__).parent
SOURCES = sorted(DIRECTORY.glob("*.S"))
_NUMBER = re.compile(r"^\s*\.set (\w+), (\w+)$", re.MULTILINE)

HEADERS = """
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <linux/audit.h>
#include <linux/ptrace.h>
#include <linux/seccomp.h>
"""
EXPRESSIONS = {
    "MOST_SIGNALS": "_NSIG - 1",
    "PTRACE_POKEUSER": "PTRACE_POKEUSR",
    "SIZEOF_ptrace_syscall_info": "sizeof(struct ptrace_syscall_info)",
    "SIG_IGN": "(long)SIG_IGN",
    "WALL": "__WALL",
    "MAP_FLAGS": "(MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE)",
    "info_seccomp_ret_data": "offsetof(struct ptrace_syscall_info, seccomp.ret_data)",
    "info_exit_rval": "offsetof(struct ptrace_syscall_info, exit.rval)",
    "info_arch": "offsetof(struct ptrace_syscall_info, arch)",
    "info_nr": "offsetof(struct ptrace_syscall_info, entry.nr)",
    "info_args": "offsetof(struct ptrace_syscall_info, entry.args)",
}
"""Names in the assembly that differ from those in C, and the expression in C."""
OWN = {"BASE", "VARIABLES", "OWN_FAILURE", "LEAST_FILES", "PATH_ROOM", "TRAP_FLAG"}
"""Names that are in no header."""


def numbers(source: Path) -> dict[str, int]:
    """The numbers that are written in a source of assembly."""
    return {name: int(value, 0) for name, value in _NUMBER.findall(source.read_text()) if value[0].isdigit()}


def in_c(name: str) -> str:
    """The C expression for a number of the kernel."""
    if name in EXPRESSIONS:
        return EXPRESSIONS[name]
    if name.startswith("SYS_"):
        return f"__NR_{name.removeprefix('SYS_').lower()}"
    if name.startswith("si_"):
        return f"offsetof(siginfo_t, {name})"
    if name.startswith("user_"):
        return f"offsetof(struct user_regs_struct, {name.removeprefix('user_')})"
    return name


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_the_bytes_are_those_of_the_source(source: Path, tmp_path: Path) -> None:
    assembler, objcopy = require_tool("as", "binutils"), require_tool("objcopy", "binutils")
    assembled, code = tmp_path / "code.o", tmp_path / "code"
    subprocess.run([assembler, "--64", "-I", DIRECTORY, "-o", assembled, source], check=True)
    subprocess.run([objcopy, "-O", "binary", "-j", ".text", assembled, code], check=True)
    module = importlib.import_module(f"htrun.hosts.x86_64.fastpath.{source.stem}_code")
    assert code.read_bytes() == module.CODE, f"run: tools/assemble {source.stem}"


def test_the_numbers_that_assembly_shares_are_those_of_python(tmp_path: Path) -> None:
    subprocess.run([sys.executable, assembly_constants.__file__, "--into", tmp_path], check=True, cwd=ROOT)
    for path in assembly_constants.FILES:
        assert (tmp_path / Path(path).name).read_text() == (ROOT / path).read_text(), "run: tools/assemble"


@pytest.mark.parametrize(
    "source", [DIRECTORY / "linux.inc", ROOT / "htrun/launch/launcher.S"], ids=lambda source: source.name
)
def test_the_numbers_of_the_kernel_are_those_of_its_headers(source: Path, tmp_path: Path) -> None:
    compiler = require_tool("gcc", "gcc")
    written = {name: value for name, value in numbers(source).items() if name not in OWN}
    assert len(written) > 30
    checks = "".join(f'_Static_assert({in_c(name)} == {value}, "{name}");\n' for name, value in written.items())
    (tmp_path / "numbers.c").write_text(f"#define _GNU_SOURCE\n{HEADERS}\n{checks}")
    subprocess.run([compiler, "-fsyntax-only", tmp_path / "numbers.c"], check=True)


def test_the_registers_are_where_the_machine_code_finds_them() -> None:
    found = {name: value for name, value in numbers(DIRECTORY / "linux.inc").items() if name.startswith("user_")}
    assert found == {name: getattr(Registers, name.removeprefix("user_")).offset for name in found}
