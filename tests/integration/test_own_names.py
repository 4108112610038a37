"""A program's events have the names that its files define, without --events: in native and foreign programs, in
libraries, after strip and link-time optimisation, and in every output."""

from __future__ import annotations

import csv
import json
import re
import subprocess
from pathlib import Path

import pyarrow.parquet
import pytest

import htrun as library
from tests.support.requirements import require_tool
from tests.support.run import HTRUN
from tests.support.targets import AARCH64, I686, MIPS, NATIVE, STATIC, Target
from tests.support.toolchain import INCLUDE, WARNINGS, Toolchain

EVENTS = """
[[event]]
id = 1
name = "work"
phase = "begin"
args = ["size:u64", "kind:enum:READ=0,WRITE=1"]

[[event]]
id = 2
name = "work"
phase = "end"
"""
PROGRAM = """
#include "events.h"
int main(void)
{
    uint64_t index;
    if (qemu_hypertrace_init(NULL) != 0)
        return 1;
    index = qemu_hypertrace_client();
    trace_work_begin(index, 42, trace_work_begin_kind_WRITE);
    trace_work_end(index);
    return 0;
}
"""
OTHER = """
[[event]]
id = 7
name = "tail"
args = ["n:i64"]
"""
LOADS = """
#include <dlfcn.h>
#include <stdio.h>
#include "events.h"
int main(int argc, char **argv)
{
    void (*emit)(void);
    void *loaded;
    if (argc != 2 || qemu_hypertrace_init(NULL) != 0)
        return 1;
    trace_work_begin(3, 1, 0);
    trace_work_end(3);
    loaded = dlopen(argv[1], RTLD_NOW);
    if (!loaded) {
        fprintf(stderr, "%s\\n", dlerror());
        return 1;
    }
    *(void **)&emit = dlsym(loaded, "emit");
    emit();
    return 0;
}
"""
LIBRARY = """
#include "other.h"
void emit(void);
void emit(void)
{
    trace_tail(3, -5);
}
"""


def generate(directory: Path, events: str = EVENTS, name: str = "events") -> None:
    """The header ``name``.h for ``events``."""
    source = directory / f"{name}.toml"
    source.write_text(events)
    words: list[str | Path] = [HTRUN.with_name("hypertrace"), "header", source, "-o", directory / f"{name}.h"]
    subprocess.run(words, check=True)


def build(
    directory: Path, toolchain: Toolchain, target: Target = NATIVE, *, flags: tuple[str, ...] = (), compiler: str = ""
) -> Path:
    """`PROGRAM` with the events of the generated header."""
    generate(directory)
    source = directory / "program.c"
    source.write_text(PROGRAM)
    return toolchain.compile(source, target, flags=(f"-I{directory}", *flags), compiler=compiler or None)


def lines(*command: str | Path, check: str = "") -> list[str]:
    """The log of a run, without ids and times. ``check``: what htrun prints in addition."""
    done = subprocess.run([HTRUN, *command], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    events = [line for line in done.stderr.splitlines() if not line.startswith("htrun: ")]
    assert [line for line in done.stderr.splitlines() if line.startswith("htrun: ")] == check.splitlines()
    return [re.sub(r"^\d+@[\d.]+:| index=\d+", "", line) for line in events]


WORK = ["work cpu=0x0  phase=begin size=42 kind=WRITE", "work cpu=0x0  phase=end"]


@pytest.mark.parametrize("target", [NATIVE, STATIC, I686, AARCH64, MIPS], ids=lambda target: target.name)
def test_a_program_names_its_events(tmp_path: Path, toolchain: Toolchain, target: Target) -> None:
    if target.emulator:
        require_tool(target.emulator, "qemu-user")
    assert lines(build(tmp_path, toolchain, target)) == WORK


@pytest.mark.parametrize("compiler", ["gcc", "g++", "clang"])
def test_definitions_survive_the_linker(tmp_path: Path, toolchain: Toolchain, compiler: str) -> None:
    lto = ("-flto",) if compiler != "clang" else ()
    flags = (*lto, "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections", "-s", "-Wpedantic")
    assert lines("--via", "store", build(tmp_path, toolchain, flags=flags, compiler=compiler)) == WORK


def test_without_ptrace(tmp_path: Path, toolchain: Toolchain) -> None:
    assert lines("--no-ptrace", build(tmp_path, toolchain)) == WORK


def test_every_output_has_the_names(tmp_path: Path, toolchain: Toolchain) -> None:
    program = build(tmp_path, toolchain)
    outputs = [tmp_path / name for name in ("trace", "t.csv", "t.jsonl", "t.parquet", "t.json", "t.pftrace")]
    words: list[str | Path] = [word for path in outputs for word in ("-o", path)]
    done = subprocess.run([HTRUN, *words, program], capture_output=True, text=True, timeout=240, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    trace = library.open(tmp_path / "trace")
    assert [(event.name, event.phase, event.values) for event in trace] == [
        ("work", "begin", {"size": 42, "kind": "WRITE"}),
        ("work", "end", {}),
    ]
    with (tmp_path / "t.csv").open(newline="") as file:
        assert [(row["name"], row["phase"], row["arg2"]) for row in csv.DictReader(file)] == [
            ("work", "begin", "42"),
            ("work", "end", ""),
        ]
    records = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    named = [record for record in records if record.get("name") == "work"]
    assert [record.get("args") for record in named] == [{"size": 42, "kind": "WRITE"}, None]
    table = pyarrow.parquet.read_table(tmp_path / "t.parquet")
    assert table["name"].to_pylist() == ["work", "work"]
    assert table["work.size"].to_pylist() == [42, None]
    assert '"work"' in (tmp_path / "t.json").read_text()
    assert b"work" in (tmp_path / "t.pftrace").read_bytes()


def test_the_users_own_file_wins(tmp_path: Path, toolchain: Toolchain) -> None:
    program = build(tmp_path, toolchain)
    mine = tmp_path / "mine.toml"
    mine.write_text(EVENTS.replace('"work"', '"mine"'))
    assert lines("--events", mine, program) == [line.replace("work", "mine", 1) for line in WORK]


def _loading(directory: Path, toolchain: Toolchain, other: str) -> tuple[Path, Path]:
    """A program with `EVENTS` that loads a library with the events ``other`` after its first events."""
    generate(directory)
    generate(directory, other, "other")
    source = directory / "library.c"
    source.write_text(LIBRARY)
    loaded = directory / "libother.so"
    gcc = require_tool("gcc", "gcc")
    words: list[str | Path] = [gcc, "-shared", "-fPIC", "-O2", *WARNINGS, f"-I{directory}", f"-I{INCLUDE}"]
    subprocess.run([*words, source, "-o", loaded], check=True)
    (directory / "loads.c").write_text(LOADS)
    program = toolchain.compile(directory / "loads.c", flags=(f"-I{directory}", "-rdynamic", "-ldl"))
    return program, loaded


FIRST = ["work cpu=0x0  phase=begin size=1 kind=READ", "work cpu=0x0  phase=end"]


@pytest.mark.parametrize("via", ["store", "ring"])
def test_a_library_that_is_loaded_later(tmp_path: Path, toolchain: Toolchain, via: str) -> None:
    program, loaded = _loading(tmp_path, toolchain, OTHER)
    trace = tmp_path / "trace"
    assert subprocess.run([HTRUN, "--via", via, "-o", trace, program, loaded], timeout=240, check=False).returncode == 0
    assert [(event.name, event.values) for event in library.open(trace)][2:] == [("tail", {"n": -5})]


def test_conflicting_definitions_are_one_line(tmp_path: Path, toolchain: Toolchain) -> None:
    program, loaded = _loading(tmp_path, toolchain, OTHER.replace("id = 7", "id = 2"))
    message = (
        f"htrun: warning: {loaded}: id 2 is the event 'tail', but 'work' in {program}, which is used; change one, or "
        "give --events FILE"
    )
    assert lines(program, loaded, check=message) == [*FIRST, "work cpu=0x0  phase=end"]
    assert len(lines("--events", tmp_path / "events.toml", program, loaded)) == 3


def test_definitions_of_a_later_version_are_reported(tmp_path: Path, toolchain: Toolchain) -> None:
    program = build(tmp_path, toolchain)
    newer = tmp_path / "newer"
    newer.write_bytes(program.read_bytes().replace(b"\1\0\0\0hypertrace\0", b"\2\0\0\0hypertrace\0"))
    newer.chmod(0o755)
    message = (
        f"htrun: warning: {newer}: its definitions of events have version 2, and htrun knows version 1; its events "
        "have no names"
    )
    assert [line.partition(" ")[0] for line in lines(newer, check=message)] == ["guest_hypertrace"] * 2
