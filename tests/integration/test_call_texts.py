"""The texts that system calls point to, with --decode: the same as in strace, in every format that can represent
them."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as proto

import htrun as package
from tests.support import strace_texts
from tests.support.run import HTRUN, changed_htrun
from tests.support.targets import I686, NATIVE, Target
from tests.support.toolchain import Toolchain

_CALLS = (
    "open", "openat", "read", "write", "pread64", "execve", "access", "newfstatat", "readlink", "getcwd", "unlink",
    "rename", "mkdir", "chdir", "statfs", "link",
)  # fmt: skip

_PROGRAMS = {
    "shell": ["sh", "-c", "echo one two | cat; wc -w app.c; ls /nonexistent; mkdir d; cd d; pwd -P; true"],
    "gcc": ["gcc", "-c", "-o", "/dev/null", "app.c"],
    "python": [sys.executable, "-I", "-c", "import json; print(json.dumps([1, 2]))"],
    "git": ["git", "hash-object", "app.c"],
}

_EDGES = r"""
    #define _GNU_SOURCE
    #include <stdint.h>
    #include <string.h>
    #include <sys/mman.h>
    #include <sys/syscall.h>
    #include <unistd.h>
    int main(void) {
        char *pages = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        munmap(pages + 4096, 4096);
        syscall(SYS_access, strcpy(pages + 4096 - 4, "end"), 0);        /* ends with its page */
        memcpy(pages + 4096 - 3, "cut", 3);
        syscall(SYS_access, pages + 4096 - 3, 0);                       /* goes on where nothing is */
        syscall(SYS_access, (char *)8, 0);                              /* is nowhere */
        syscall(SYS_access, (char *)0, 0);
        syscall(SYS_access, "", 0);
        static char path[5000];
        memset(path, 'a', 57);
        syscall(SYS_access, path, 0);                                   /* takes two events */
        memset(path, 'b', 4095);
        syscall(SYS_access, path, 0);
        memset(path, 'c', 4999);
        syscall(SYS_access, path, 0);                                   /* longer than a path can be */
        syscall(SYS_access, "t\tq\"b\\1\0012e\xc3\xa9\377", 0);
        syscall(SYS_write, -1, "a\0b\n", 4);
        syscall(SYS_write, -1, "12345678901234567890123456789012", 32);
        syscall(SYS_write, -1, "12345678901234567890123456789012", 33);
        syscall(SYS_write, -1, (char *)8, 5);
        syscall(SYS_write, -1, "none", 0);
        syscall(SYS_read, -1, path, 5);                                 /* fails: nothing to show */
        return 0;
    }
"""
_LONG = r"""
    #include <string.h>
    #include <sys/syscall.h>
    #include <unistd.h>
    int main(void) {
        static char path[4096];
        for (int i = 0; i < 2000; i++) {
            memset(path, 'a', 4095);
            path[4095 - i % 7] = 0;
            syscall(SYS_access, path, 0);
        }
        return 0;
    }
"""
_SHOWN = [
    'access(filename="end", mode=F_OK)',
    "access(filename=0x..., mode=F_OK)",
    "access(filename=0x8, mode=F_OK)",
    "access(filename=0x0, mode=F_OK)",
    'access(filename="", mode=F_OK)',
    f'access(filename="{57 * "a"}", mode=F_OK)',
    f'access(filename="{4095 * "b"}", mode=F_OK)',
    f'access(filename="{4096 * "c"}"..., mode=F_OK)',
    r'access(filename="t\tq\"b\\1\0012e\303\251\377", mode=F_OK)',
    r'write(fd=-1, buf="a\0b\n", count=4)',
    'write(fd=-1, buf="12345678901234567890123456789012", count=32)',
    'write(fd=-1, buf="12345678901234567890123456789012"..., count=33)',
    "write(fd=-1, buf=0x8, count=5)",
    'write(fd=-1, buf="", count=0)',
]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A directory with a source file."""
    directory = tmp_path / "work"
    directory.mkdir()
    (directory / "app.c").write_text("int main(void) { return 0; }\n")
    return directory


def record(work: Path, *options: str | Path, program: list[str]) -> None:
    """Run ``program`` in ``work`` under htrun."""
    command = [str(HTRUN), *map(str, options), "--", *program]
    subprocess.run(command, check=True, capture_output=True, cwd=work, timeout=240)


def hypertrace(*words: str | Path) -> str:
    """The output of hypertrace."""
    command = [str(HTRUN.with_name("hypertrace")), *map(str, words)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=240).stdout


@pytest.mark.parametrize("name", _PROGRAMS)
def test_real_programs_show_the_texts_that_strace_shows(name: str, work: Path, tmp_path: Path) -> None:
    here = [tmp_path / "strace", tmp_path / "htrun"]
    for path in here:
        path.mkdir()
        (path / "app.c").write_text((work / "app.c").read_text())
    expected = strace_texts.of_strace(_PROGRAMS[name], _CALLS, tmp_path / "strace.log", here[0])
    log = tmp_path / "log"
    record(here[1], "--decode", "--syscalls", ",".join(_CALLS), "-D", log, program=_PROGRAMS[name])
    found = strace_texts.of_log(log.read_text().replace(str(here[1]), str(here[0])))
    assert found == expected
    assert sum(len(call) - 1 for thread in found for call in thread) > 20


@pytest.fixture
def untrusting(tmp_path: Path) -> Path:
    """An htrun that does not use the time stamp counter: all stops are handled in Python, not in machine code."""
    return changed_htrun(
        tmp_path, "from htrun.hosts.x86_64 import counter\ncounter.doubt_about_tsc = lambda: 'a doubt'"
    )


@pytest.mark.parametrize("in_one_go", [True, False], ids=["machine code", "Python"])
@pytest.mark.parametrize("target", [NATIVE, I686], ids=lambda target: target.name)
def test_every_kind_of_text(
    target: Target, in_one_go: bool, work: Path, toolchain: Toolchain, untrusting: Path, tmp_path: Path
) -> None:
    program = toolchain.compile_text(_EDGES, "texts", target)
    log = tmp_path / "log"
    command: list[str | Path] = [
        HTRUN if in_one_go else untrusting,
        "-q",
        "--decode",
        "--syscalls",
        "access,write,read",
        "-D",
        log,
        program,
    ]
    subprocess.run(command, check=True, capture_output=True, cwd=work, timeout=240)
    lines = [line.partition("cpu=0x0  ")[2] for line in log.read_text().splitlines()]
    shown = [line for line in lines if line.startswith(("access(", "write("))]
    # The calls of the dynamic linker come first. Addresses differ from run to run.
    shown = [re.sub("0x[0-9a-f]+ffd,", "0x...,", line) for line in shown]
    assert shown[-len(_SHOWN) :] == _SHOWN
    assert lines[-2].startswith("read(fd=-1, buf=0x")
    assert lines[-1] == "read = -9 EBADF"


def test_none_is_lost_or_parted_from_its_call_while_the_log_is_not_read(
    work: Path, toolchain: Toolchain, tmp_path: Path
) -> None:
    """The longest path takes 74 records: the buffer for records fills up repeatedly."""
    program = toolchain.compile_text(_LONG, "long_paths")
    log = tmp_path / "log"
    os.mkfifo(log)
    command: list[str | Path] = [HTRUN, "--decode", "--syscalls", "access", "-D", log, program]
    with subprocess.Popen(command, cwd=work, stdin=subprocess.DEVNULL) as running, log.open() as reader:
        lines = [line.partition("cpu=0x0  ")[2] for line in reader if " access(" in line]
    assert running.returncode == 0
    paths = [line for line in lines if "ld.so.preload" not in line]
    assert paths == [f'access(filename="{"a" * (4095 - number % 7)}", mode=F_OK)\n' for number in range(2000)]


def test_a_trace_keeps_them(work: Path, tmp_path: Path) -> None:
    log, trace = tmp_path / "live.log", tmp_path / "trace"
    record(work, "--decode", "-trace", "guest*", "-D", log, "-o", trace, program=["cat", "app.c"])
    hypertrace("convert", "--decode", trace, tmp_path / "later.log")
    # The fit of the clock at the end of a run may differ from earlier ones.
    live, later = (re.sub(r"@[\d.]+:", "@TIME:", path.read_text()) for path in (log, tmp_path / "later.log"))
    assert later == live
    assert 'openat(dirfd=AT_FDCWD, filename="app.c", flags=O_RDONLY, mode=00)' in log.read_text()
    # Texts never count as events.
    count = len(log.read_text().splitlines())
    opened = package.open(trace)
    assert len(opened) == len(opened.to_numpy()) == sum(1 for _ in opened) == count
    assert (
        len(hypertrace("print", trace).splitlines())
        == len(hypertrace("print", "--decode", trace).splitlines())
        == count
    )
    assert json.loads(hypertrace("info", "--json", trace))["events"] == count

    shown = subprocess.run(["babeltrace2", trace], capture_output=True, encoding="utf-8", errors="replace", check=True)
    assert shown.stderr == ""
    assert " guest_user_syscall_text: " in shown.stdout
    assert ', text = "app.c" }' in shown.stdout


@pytest.mark.heavy("many runs; each filter is tried by itself, too")
def test_filters_keep_a_call_and_its_texts_together(work: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    record(work, "--decode", "--syscalls", "openat,execve,exit_group", "-o", trace, program=["cat", "app.c"])
    whole = hypertrace("print", "--decode", trace).splitlines()
    wanted = [line for line in whole if " openat(" in line]
    where = 'syscall == "openat" and event == "guest_user_syscall"'
    assert hypertrace("print", "--decode", "--where", where, trace).splitlines() == wanted
    for count in range(len(whole) + 2):
        assert hypertrace("print", "--decode", "-n", str(count), trace).splitlines() == whole[:count]
    assert all('filename="' in line for line in wanted)
    time = wanted[-1].split()[0]
    part = hypertrace("print", "--decode", "--from", f"{time}s", trace).splitlines()
    assert part == whole[-len(part) :]
    assert part[0] in (wanted[-1], whole[whole.index(wanted[-1]) + 1])


def test_every_format_that_has_a_place_for_them(work: Path, tmp_path: Path) -> None:
    files = {kind: tmp_path / f"t.{kind}" for kind in ("jsonl", "csv", "json", "pftrace")}
    options = [word for file in files.values() for word in ("-o", file)]
    record(work, "--decode", "-trace", "guest*", *options, program=["cat", "app.c"])
    call = {"dirfd": "AT_FDCWD", "filename": "app.c", "flags": "O_RDONLY", "mode": "00"}
    rows = [json.loads(line) for line in files["jsonl"].read_text().splitlines()]
    assert {"name": "openat", "args": call} in [row.get("syscall") for row in rows]
    with files["csv"].open(newline="") as file:
        meanings = [row["syscall"] for row in csv.DictReader(file)]
    line = 'openat(dirfd=AT_FDCWD, filename="app.c", flags=O_RDONLY, mode=00)'
    assert line in meanings
    chrome = json.loads(files["json"].read_text())["traceEvents"]
    assert [event["name"] for event in chrome if event.get("args", {}).get("syscall", {}).get("args") == call] == [
        "openat"
    ]

    events: dict[int, str] = {}
    annotations: dict[int, str] = {}
    found = []
    for packet in proto.Trace.FromString(files["pftrace"].read_bytes()).packet:
        events |= {entry.iid: entry.name for entry in packet.interned_data.event_names}
        annotations |= {entry.iid: entry.name for entry in packet.interned_data.debug_annotation_names}
        if packet.HasField("track_event"):
            texts = {annotations[each.name_iid]: each.string_value for each in packet.track_event.debug_annotations}
            found.append((events[packet.track_event.name_iid], texts.get("call", "")))
    assert ("openat", line) in found
    assert [text for _, text in found] == meanings


def test_a_command_line_of_thousands_of_words(work: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    record(work, "--decode", "--syscalls", "execve", "-D", log, program=["env", "true", "y" * 20_000, *5000 * ["word"]])
    last = [line for line in log.read_text().splitlines() if " execve(" in line][-1]
    assert f'argv=["true", "{"y" * 256}"..., "word", "word", ' in last
    assert last.count('"word"') == 30


def test_without_decode_nothing_is_read(work: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    record(work, "--syscalls", "openat", "-o", trace, program=["cat", "app.c"])
    assert "guest_user_syscall_text" not in (trace / "metadata").read_text()
    assert "filename=0x" in hypertrace("print", "--decode", trace)
    record(work, "--decode", "-trace", "guest_user_syscall_ret", "-o", tmp_path / "returns", program=["cat", "app.c"])
    shown = hypertrace("print", "--decode", tmp_path / "returns")
    assert 'read = 832 buf="\\177ELF' in shown
    assert "openat(" not in shown
