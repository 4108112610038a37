"""System calls and the start and exit of threads as events: the same as strace shows, only those requested, in every
format."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow.parquet
import pytest
from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as proto

import htrun as package
from htrun.analysis.trace import Trace
from htrun.events.syscalls import ARCH_I386, ARCH_X86_64, table
from tests.integration.corpus.outcome import observe
from tests.integration.corpus.programs import Case, cases
from tests.support.run import HTRUN, Htrun, changed_htrun
from tests.support.strace import Tree, strace, traced
from tests.support.targets import AARCH64, I686, NATIVE, Target
from tests.support.toolchain import Toolchain

_GUESTS = Path(__file__).parent / "guests"
_NO_CALLS: frozenset[str] = frozenset()
# The number of these calls depends on timing: a shell's SIGCHLD handler runs and the shell looks for children that have
# exited, a thread has to wait for another thread, or a guest checks whether another thread waits (guests/await_call.h).
# glibc's mkstemp tries a random number of names.
_WAITS_FOR_CHILDREN = frozenset({"rt_sigreturn", "wait4"})
_DRAWS = frozenset({"getrandom"})
_LOOKS = frozenset({"pread64", "sched_yield"})
_WAITS_FOR_THREADS = frozenset({"futex"})

_PROGRAMS = {
    "shell": (["sh", "-c", "wc -w app.c; ls /nonexistent; cat app.c; true"], _WAITS_FOR_CHILDREN),
    "gcc": (["gcc", "-c", "-o", "/dev/null", "app.c"], _DRAWS),
    "python": ([sys.executable, "-I", "-c", "import json; print(json.dumps([1, 2]))"], _NO_CALLS),
    "git": (["git", "log", "--oneline"], _NO_CALLS),
}


def record(directory: Path, *options: str | Path, program: list[str], trace: Path | None = None) -> Trace:
    """The native trace of ``program``, run in ``directory`` / work. ``trace``: where it is, if not in ``directory``."""
    path = trace or directory / "trace"
    command = [str(HTRUN), *map(str, options), "-o", str(path), "--", *program]
    subprocess.run(command, check=True, capture_output=True, cwd=directory / "work", timeout=240)
    return package.open(path)


def same_as_strace(command: list[str], without: frozenset[str], directory: Path) -> Tree:
    """The calls of ``command`` under htrun, after checking that strace shows the same.

    strace and htrun trace different runs, so the calls of ``command`` must not depend on the speed of its processes.
    """
    channel = directory / "channel"
    expected = strace(command, directory / "strace.log", directory / "work", channel).tree(without)
    options = ("-trace", "enable=guest*", "--hypertrace", channel)
    found = traced(record(directory, *options, program=command)).tree(without)
    assert found == expected
    return found


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A directory with a source file and a repository."""
    directory = tmp_path / "work"
    directory.mkdir()
    (directory / "app.c").write_text("int main(void) { return 0; }\n")
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    for command in (["init", "-q"], ["add", "app.c"], [*identity, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", *command], check=True, cwd=directory)
    return directory


@pytest.mark.parametrize("name", _PROGRAMS)
def test_real_programs_make_the_calls_that_strace_shows(name: str, work: Path, tmp_path: Path) -> None:
    command, without = _PROGRAMS[name]
    found = same_as_strace(command, without, tmp_path)
    assert sum(map(len, found.values())) > 100


@pytest.mark.parametrize("target", [NATIVE, I686], ids=lambda target: target.name)
@pytest.mark.parametrize("name", ["processes", "threads", "signals"])
def test_every_way_in_and_out_of_a_call(
    name: str, target: Target, work: Path, toolchain: Toolchain, tmp_path: Path
) -> None:
    command = [str(toolchain.compile(_GUESTS / f"calls_{name}.c", target))]
    without = {"processes": _NO_CALLS, "signals": _LOOKS, "threads": _LOOKS | _WAITS_FOR_THREADS}[name]
    found = same_as_strace(command, without, tmp_path)
    calls = [call for thread in found.values() for call in thread]
    assert calls[0] == ("execve", "0")
    wanted = {"processes": ("kill", None), "threads": ("execve", "0"), "signals": ("restart_syscall", "0")}
    assert wanted[name] in calls[1:]


def test_arguments_and_results_are_those_of_the_call(work: Path, toolchain: Toolchain, tmp_path: Path) -> None:
    program = toolchain.compile_text(
        """
        #include <sys/syscall.h>
        #include <unistd.h>
        int main(void) {
            syscall(SYS_dup2, 0x123456789abcdef0, -1L, 3L, 4L, 5L, 6L);
            syscall(1999, 1L, 1L << 63, 3L, -1L, 5L, ~0L - 1);
            return 0;
        }
        """,
        "arguments",
    )
    trace = record(tmp_path, "--syscalls", "all", program=[str(program)])
    events = [event for event in trace if event.num in (table(ARCH_X86_64).numbers["dup2"], 1999)]
    assert [event.name for event in events] == ["guest_user_syscall", "guest_user_syscall_ret"] * 2
    assert events[0].args == (0x123456789ABCDEF0, 2**64 - 1, 3, 4, 5, 6, 0, 0)
    assert events[1].args == (2**64 - 9,)
    assert events[2].args == (1, 1 << 63, 3, 2**64 - 1, 5, 2**64 - 2, 0, 0)
    assert events[3].args == (2**64 - 38,)


@pytest.mark.parametrize("target", [NATIVE, I686], ids=lambda target: target.name)
def test_only_the_calls_wanted(target: Target, work: Path, toolchain: Toolchain, tmp_path: Path) -> None:
    program = toolchain.compile(_GUESTS / "calls_processes.c", target)
    trace = record(tmp_path, "--syscalls", "dup,getppid", "--syscalls", "execve", program=[str(program)])
    calls = [(call.name, call.result) for thread in traced(trace).by_thread.values() for call in thread]
    assert sorted(calls) == sorted(
        [("execve", "0"), ("getppid", "id"), ("execve", "ENOENT"), ("execve", "0"), ("dup", "EBADF")]
    )
    # The first call is one of htrun, made by 64-bit code.
    interfaces = [event.arch for event in trace][2:]
    assert set(interfaces) == {ARCH_X86_64 if target is NATIVE else ARCH_I386}


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["guest_user_syscall"], {"guest_user_syscall"}),
        (["guest_user_syscall_ret"], {"guest_user_syscall_ret"}),
        (["guest*", "-guest_user*"], {"guest_hypertrace", "guest_cpu_enter", "guest_cpu_exit"}),
        (["guest_hypertrace"], {"guest_hypertrace"}),
        (["-guest_hypertrace"], set()),
    ],
)
@pytest.mark.parametrize("from_environment", [False, True], ids=["option", "environment"])
def test_what_is_not_enabled_is_not_recorded(
    patterns: list[str],
    names: set[str],
    from_environment: bool,
    toolchain: Toolchain,
    htrun: Htrun,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program = toolchain.compile(_GUESTS / "exact_threads.c")
    if from_environment:
        monkeypatch.setenv("HTRUN_TRACE", ",".join(patterns))
    options = () if from_environment else tuple(word for pattern in patterns for word in ("-trace", pattern))
    result = htrun.run(program, "2", "10", options=options)
    assert result.status == 0, result.stderr
    lines = result.log.read_text().splitlines()
    assert {line.partition(":")[2].split(" ")[0] for line in lines} == names
    assert result.summary["events"] == len(lines)
    assert result.summary["kinds"] == Counter(line.partition(":")[2].split(" ")[0] for line in lines)
    if "guest_hypertrace" not in names:
        assert result.summary["traps"] == 0


def test_threads_begin_and_end(toolchain: Toolchain, work: Path, tmp_path: Path) -> None:
    program = toolchain.compile(_GUESTS / "calls_threads.c")
    trace = record(tmp_path, "-trace", "guest_cpu*", program=[str(program)])
    lives = [(event.name, event.stream.tid) for event in trace]
    first = lives[0][1]
    # Three threads, one after the other; the last takes over the id of the first thread, and the process continues with
    # it.
    numbers = {tid: number for number, tid in enumerate(dict.fromkeys(tid for _, tid in lives))}
    story = [(name.removeprefix("guest_cpu_"), numbers[tid]) for name, tid in lives]
    assert story[0] == ("enter", 0)
    assert story[1:7] == [("enter", 1), ("exit", 1), ("enter", 2), ("exit", 2), ("enter", 3), ("exit", 3)]
    assert story[7] == ("enter", 4)
    assert sorted(story[8:10]) == [("exit", 0), ("exit", 4)]
    assert story[10:] == [("enter", 0), ("exit", 0)]
    assert trace.streams[0].pid == first


def test_calls_and_events_are_in_one_order(toolchain: Toolchain, htrun: Htrun) -> None:
    program = toolchain.compile_text(
        """
        #include <sys/syscall.h>
        #include <unistd.h>
        #include "qemu-hypertrace.h"
        int main(void) {
            qemu_hypertrace_init(NULL);
            for (int i = 0; i < 200; i++) {
                qemu_hypertrace_data(0)[0] = i;
                qemu_hypertrace(0);
                syscall(SYS_getppid);
            }
            return 0;
        }
        """,
        "one_order",
    )
    result = htrun.run(program, options=("--syscalls", "getppid"))
    assert result.status == 0, result.stderr
    lines = result.log.read_text().splitlines()
    names = [line.partition(":")[2].split(" ")[0] for line in lines]
    assert names == ["guest_hypertrace", "guest_user_syscall", "guest_user_syscall_ret"] * 200
    values = [int(line.split(" arg1=")[1].split()[0], 16) for line in lines[::3]]
    assert values == list(range(200))


def test_calls_that_htrun_must_see_are_recorded_once(toolchain: Toolchain, htrun: Htrun) -> None:
    """For the channel, htrun injects calls into the program, which do not count as the program's."""
    program = toolchain.compile(_GUESTS / "exact_threads.c")
    names = ("mmap", "mprotect", "munmap", "rt_sigprocmask", "rt_sigaction", "execve")
    counts = []
    for option in ("-trace", "--trace=-guest_hypertrace"):
        patterns = (option, "guest*") if option == "-trace" else ("-trace", "guest*", option)
        result = htrun.run(program, "2", "10", options=(*patterns, "--syscalls", ",".join(names)))
        assert result.status == 0, result.stderr
        lines = [line.partition(":")[2].split() for line in result.log.read_text().splitlines()]
        counts.append(Counter((line[0], line[2]) for line in lines if line[0].startswith("guest_user_syscall")))
    watched, unwatched = counts
    assert watched == unwatched
    numbers = [f"num=0x{table(ARCH_X86_64).numbers[name]:016x}" for name in names]
    assert {number for _, number in watched} >= {*numbers[:2], *numbers[3:4]}
    for number in {number for _, number in watched}:
        assert watched["guest_user_syscall", number] == watched["guest_user_syscall_ret", number]


def check_slices(packets: list[proto.TracePacket], counts: Counter[str]) -> None:
    """Each end in a Perfetto trace belongs to the last begin on its track, even if a program executes another."""
    begun: Counter[int] = Counter()
    halves = proto.TrackEvent.TYPE_SLICE_BEGIN, proto.TrackEvent.TYPE_SLICE_END
    slices = [packet.track_event for packet in packets if packet.track_event.type in halves]
    for event in slices:
        if event.type == proto.TrackEvent.TYPE_SLICE_BEGIN:
            begun[event.track_uuid] += 1
        else:
            begun[event.track_uuid] -= 1
            assert begun[event.track_uuid] >= 0
    # Only calls that never return have no end.
    assert begun.total() == counts["guest_user_syscall"] - counts["guest_user_syscall_ret"]


def test_every_format_has_all_events(work: Path, toolchain: Toolchain, tmp_path: Path) -> None:
    program = toolchain.compile(_GUESTS / "calls_processes.c")
    files = [tmp_path / f"t.{suffix}" for suffix in ("log", "simple", "jsonl", "csv", "json", "pftrace", "parquet")]
    options = [word for file in files for word in ("-o", str(file))]
    trace = record(tmp_path, "-trace", "guest*", *options, program=[str(program)])
    events = [(event.time, event.name, event.stream.tid, event.num, event.args) for event in trace]
    counts = Counter(event[1] for event in events)
    assert counts["guest_user_syscall"] > 80
    assert [len(file.read_bytes().splitlines()) for file in files[:1]] == [len(events)]

    lines = [json.loads(line) for line in files[2].read_text().splitlines()]
    told = [(row["event"], row["tid"], row.get("num"), tuple(row.get("args", {}).values())) for row in lines]
    assert told == [(name, tid, num, args) for _, name, tid, num, args in events]
    assert [row.get("arch") for row in lines] == [event.arch for event in trace]
    with files[3].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["event"], int(row["tid"])) for row in rows] == [(name, tid) for _, name, tid, _, _ in events]
    assert [int(row["time_ns"]) for row in rows] == [row["time_ns"] for row in lines]
    for name in ("index", "num", "arch"):
        assert [row[name] for row in rows] == [str(row.get(name, "")) for row in lines]
    chrome = [event for event in json.loads(files[4].read_text())["traceEvents"] if event["ph"] != "M"]
    assert Counter(event["ph"] for event in chrome) == {
        "b": counts["guest_user_syscall"] + counts["guest_cpu_enter"],
        "e": counts["guest_user_syscall_ret"] + counts["guest_cpu_exit"],
    }
    packets = proto.Trace.FromString(files[5].read_bytes()).packet
    assert sum(packet.HasField("track_event") for packet in packets) == len(events)
    check_slices(packets, counts)
    table = pyarrow.parquet.read_table(files[6])
    assert table.column("num").to_pylist() == [num for *_, num, _ in events]
    assert table.column("arch").to_pylist() == [event.arch for event in trace]

    shown = subprocess.run(["babeltrace2", tmp_path / "trace"], capture_output=True, text=True, check=True)
    assert shown.stderr == ""
    texts = shown.stdout.splitlines()
    assert len(texts) == len(events)
    assert all(
        f" {name}: " in text and f" tid = {tid}," in text
        for text, (_, name, tid, _, _) in zip(texts, events, strict=True)
    )


def test_decoded(work: Path, tmp_path: Path) -> None:
    files = [tmp_path / "t.log", tmp_path / "t.jsonl"]
    options: list[str | Path] = ["--decode", "-o", files[0], "-o", files[1], "--syscalls", "openat,mmap,close"]
    record(tmp_path, *options, program=["cat", "app.c"])
    log = files[0].read_text()
    assert 'guest_user_syscall cpu=0x0  openat(dirfd=AT_FDCWD, filename="app.c", flags=O_RDONLY, mode=00)' in log
    assert ", flags=O_RDONLY|O_CLOEXEC, mode=00)" in log
    assert "guest_user_syscall_ret cpu=0x0  openat = 3\n" in log
    assert "prot=PROT_READ|PROT_WRITE, flags=MAP_PRIVATE|MAP_ANONYMOUS, fd=-1, pgoff=0)" in log
    rows = [json.loads(line)["syscall"] for line in files[1].read_text().splitlines()]
    assert {"name": "close", "args": {"fd": 3}} in rows
    assert {"name": "close", "result": 0} in rows


@pytest.mark.parametrize(
    ("condition", "lines"),
    [
        (
            "num == 32 and arch == 0xc000003e",
            ["guest_user_syscall dup(fildes=-1)", "guest_user_syscall_ret dup = -9 EBADF"],
        ),
        ('syscall == "dup"', ["guest_user_syscall dup(fildes=-1)", "guest_user_syscall_ret dup = -9 EBADF"]),
        ('error == "EBADF"', ["guest_user_syscall_ret dup = -9 EBADF"]),
        ('syscall == "execve" and error == "ENOENT"', ["guest_user_syscall_ret execve = -2 ENOENT"]),
        ('syscall == "execve" and error == ""', ["guest_user_syscall_ret execve = 0"] * 2),
    ],
)
def test_calls_are_found_by_name_and_error(
    condition: str, lines: list[str], toolchain: Toolchain, work: Path, tmp_path: Path
) -> None:
    program = toolchain.compile(_GUESTS / "calls_processes.c")
    record(tmp_path, "--syscalls", "dup,execve,getppid", program=[str(program)])
    hypertrace = HTRUN.with_name("hypertrace")
    shown = subprocess.run(
        [hypertrace, "print", tmp_path / "trace", "--decode", "--where", condition],
        capture_output=True,
        text=True,
        check=True,
    )
    assert [line.partition(" guest_")[2] for line in shown.stdout.splitlines()] == [
        line.removeprefix("guest_") for line in lines
    ]


def test_a_thread_that_is_kept_on_a_processor_does_not_see_it(toolchain: Toolchain, htrun: Htrun) -> None:
    program = toolchain.compile(_GUESTS / "tracer_processors.c")
    result = htrun.run(program, options=("--no-patch", "-trace", "guest*"))
    assert (result.status, result.stdout) == (0, "0\n"), result.stderr
    assert result.summary["kinds"]["guest_hypertrace"] == 5 * 3 * 400 + 400


def test_calls_that_a_filter_of_the_programs_own_stops(toolchain: Toolchain, htrun: Htrun) -> None:
    program = toolchain.compile(_GUESTS / "calls_filtered.c")
    result = htrun.run(program, options=("--syscalls", "getppid,getuid,getgid", "--decode"))
    assert (result.status, result.stdout) == (0, "-38 -5\n"), result.stderr
    assert [line.partition("  ")[2] for line in result.log.read_text().splitlines()] == [
        "getppid()",
        "getppid = -38 ENOSYS",
        "getuid()",
        "getuid = -5 EIO",
        "getgid()",
        f"getgid = {os.getgid()}",
    ]


def test_calls_that_a_filter_of_the_programs_own_denies(toolchain: Toolchain, work: Path, tmp_path: Path) -> None:
    program = str(toolchain.compile(_GUESTS / "calls_denied.c"))
    # Which of the two waits for the other depends on timing.
    found = same_as_strace([program], _WAITS_FOR_THREADS, tmp_path)
    denied = Counter(call for calls in found.values() for call in calls if call[0] in {"getuid", "alarm"})
    assert denied.total() == 2 * (3 + 1 + 1 + 3 + 2 + 2)


@pytest.mark.parametrize("half", ["guest_user_syscall", "guest_user_syscall_ret"])
def test_half_of_a_denied_call_is_recorded_once(half: str, toolchain: Toolchain, htrun: Htrun) -> None:
    program = toolchain.compile(_GUESTS / "calls_filtered.c")
    result = htrun.run(program, options=("-trace", half, "--decode"))
    assert (result.status, result.stdout) == (0, "-38 -5\n"), result.stderr
    calls = Counter(re.sub(r"\W.*", "", line.partition("  ")[2]) for line in result.log.read_text().splitlines())
    assert (calls["getppid"], calls["getuid"], calls["getgid"]) == (1, 1, 1)


def test_the_same_without_a_counter_to_trust(toolchain: Toolchain, work: Path, tmp_path: Path) -> None:
    """Then all stops are handled in Python."""
    program = str(toolchain.compile(_GUESTS / "calls_processes.c"))
    script = changed_htrun(
        tmp_path, "from htrun.hosts.x86_64 import counter\ncounter.doubt_about_tsc = lambda: 'a doubt'"
    )
    channel = tmp_path / "channel"
    words: list[str | Path] = [
        script,
        "-q",
        "--hypertrace",
        channel,
        "-trace",
        "guest*",
        "-o",
        tmp_path / "trace",
        "--",
        program,
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=work)
    assert (done.stdout, done.stderr) == ("3 7 -9 -15\n", "")
    trace = package.open(tmp_path / "trace")
    assert trace.environment["clock_source"] == "monotonic"
    assert traced(trace).tree() == strace([program], tmp_path / "log", work, channel).tree()
    events = [event.time for event in trace]
    assert events == sorted(events)


def test_nothing_is_lost_while_the_log_is_not_read(toolchain: Toolchain, htrun: Htrun) -> None:
    """The program then has to wait, since the tracer's memory for records is limited."""
    program = toolchain.compile_text(
        """
        #include <sys/syscall.h>
        #include <unistd.h>
        int main(void) {
            for (int i = 0; i < 20000; i++) {
                syscall(SYS_getppid);
            }
            return 0;
        }
        """,
        "many_calls",
    )
    log = htrun.directory / "pipe"
    os.mkfifo(log)
    words = [*htrun.command("--syscalls", "getppid", "-D", log), str(program)]
    with subprocess.Popen(words) as process, log.open("rb") as pipe:
        # The pipe and the tracer together cannot hold all events, so the program must be waiting for its reader.
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=2)
        lines = pipe.read().splitlines()
    assert process.returncode == 0
    assert Counter(line.split()[0].rpartition(b":")[2] for line in lines) == {
        b"guest_user_syscall": 20000,
        b"guest_user_syscall_ret": 20000,
    }


def test_an_emulators_calls_are_those_it_makes_of_this_machine(toolchain: Toolchain, htrun: Htrun) -> None:
    program = toolchain.compile_text(
        '#include <unistd.h>\nint main(void) { return write(1, "guest\\n", 6) == 6 ? 0 : 1; }\n', "writes", AARCH64
    )
    result = htrun.run(program, options=("--syscalls", "write", "--decode"))
    assert (result.status, result.stdout) == (0, "guest\n"), result.stderr
    lines = [line.partition(":")[2] for line in result.log.read_text().splitlines()]
    assert r'guest_user_syscall cpu=0x0  write(fd=1, buf="guest\n", count=6)' in lines
    assert "guest_user_syscall_ret cpu=0x0  write = 6" in lines


def _some_cases() -> list[Case]:
    """A case for each program, except those that need their own setup."""
    chosen: dict[str, Case] = {}
    for case in cases():
        if case.target in (NATIVE, I686) and case.program.source.stem != "process_status":
            chosen.setdefault(f"{case.program.source.stem}-{case.target.name}", case)
    return list(chosen.values())[::6]


@pytest.mark.parametrize("case", _some_cases(), ids=str)
def test_programs_do_the_same_while_their_calls_are_recorded(case: Case, toolchain: Toolchain, tmp_path: Path) -> None:
    program = [str(case.program.build(toolchain, case.target, emitting=False)), *case.arguments]
    alone = observe(program, tmp_path / "alone" / "work", str(tmp_path), {})
    command = [str(HTRUN), "-trace", "guest*", "-D", str(tmp_path / "log"), "--", *program]
    assert observe(command, tmp_path / "traced" / "work", str(tmp_path), {}) == alone
    assert "guest_cpu_exit" in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--syscalls", "opne", "true"], "--syscalls opne: there is no system call 'opne'; did you mean 'open' or"),
        (["--syscalls", "read,", "true"], "--syscalls read,: there is no system call ''; --syscalls help lists them"),
        (
            ["--syscalls", "xyzzy", "true"],
            "--syscalls xyzzy: there is no system call 'xyzzy'; --syscalls help lists them",
        ),
        (["--syscalls"], "--syscalls needs a value; try: htrun --help"),
        (["-trace", "guest*,file=", "true"], "-trace guest*,file=: file needs the name of a file"),
        (["-o", "/tmp/no/x.csv", "-o", "/tmp/no/x.csv", "true"], "two outputs have the same path /tmp/no/x.csv; use"),
        (["-o", "/tmp/no/x.csv", "-D", "/tmp/no/x.csv", "true"], "two outputs have the same path /tmp/no/x.csv; use"),
        (["-trace", "events=/no", "true"], "cannot read the events file /no: No such file or directory"),
    ],
)
def test_bad_input_is_one_clear_line(options: list[str], message: str) -> None:
    done = subprocess.run([HTRUN, *options], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (125, "", 1)
    assert done.stderr.startswith(f"htrun: {message}")


_NOWHERE_TO_WRITE = 'mount -t tmpfs -o ro none /tmp && unset TMPDIR XDG_RUNTIME_DIR && exec "$@"'


@pytest.mark.parametrize("recorded", [False, True])
def test_calls_are_recorded_where_no_channel_can_be_made(recorded: bool) -> None:
    mounted = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", _NOWHERE_TO_WRITE, "sh"]
    patterns = ["-trace", "enable=guest*"] if recorded else ["-trace", "guest_user_syscall*"]
    options = [*patterns, "--syscalls", "write", "--decode", "-D", "/dev/stderr"]
    command = ["sh", "-c", "echo ${HYPERTRACE-no channel}"]
    done = subprocess.run([*mounted, HTRUN, *options, "--", *command], capture_output=True, text=True, check=False)
    if recorded:
        message = "htrun: cannot make a directory for the channel in /tmp: Read-only file system\n"
        assert (done.returncode, done.stdout, done.stderr) == (125, "", message)
    else:
        assert (done.returncode, done.stdout) == (0, "no channel\n"), done.stderr
        assert r'write(fd=1, buf="no channel\n", count=11)' in done.stderr


def test_a_bad_pattern_in_the_environment_is_one_clear_line() -> None:
    environment = os.environ | {"HTRUN_TRACE": "events=/nonexistent"}
    done = subprocess.run([HTRUN, "true"], capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stderr) == (
        125,
        "htrun: HTRUN_TRACE: cannot read the events file /nonexistent: No such file or directory\n",
    )


def test_the_names_of_calls_are_listed() -> None:
    done = subprocess.run([HTRUN, "--syscalls", "help"], capture_output=True, text=True, check=True)
    names = done.stdout.split()
    assert names == sorted(names)
    assert {"openat", "clone3", "socketcall", "mmap2"} <= set(names)
