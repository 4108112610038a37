"""Programs that run untraced (--no-ptrace): their events are exact, and they run as they would without htrun."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from htrun import open as open_trace
from tests.integration.test_rings import GUESTS, by_emitter, check_emitters, check_exact, check_untouched
from tests.support import leftovers
from tests.support.run import HTRUN, SECONDS, Htrun, LogEvent, Result, changed_htrun, portable_htrun, tell_to_end
from tests.support.targets import AARCH64, I686, NATIVE, S390X, Target
from tests.support.toolchain import Toolchain
from tests.support.waiting import wait_until

UNTRACED = ("--via", "auto", "--no-ptrace")

WAITS = """
#include "exact_events.h"

static volatile sig_atomic_t got;

static void count(int number, siginfo_t *info, void *context)
{
    (void)context;
    got++;
    dprintf(1, "%d %d\\n", number, info->si_code == SI_QUEUE ? info->si_value.sival_int : -1);
}

/* Prints its own id, then each signal of those named that it gets, up to as many as argv[1] says. */
int main(int argc, char **argv)
{
    struct sigaction action = {.sa_sigaction = count, .sa_flags = SA_SIGINFO};
    sigset_t all, none;
    start_events();
    sigfillset(&all);
    sigemptyset(&none);
    sigprocmask(SIG_BLOCK, &all, NULL);
    for (int i = 2; i < argc; i++)
        sigaction(atoi(argv[i]), &action, NULL);
    dprintf(1, "%d\\n", (int)getpid());
    while (got < atoi(argv[1]))
        sigsuspend(&none);
    emit_run(1, 100);
    return 7;
}
"""
EARLY = """
#include <qemu-hypertrace.h>
#include <stdio.h>
#include <time.h>

/* Emits at once. Each event has the time just before it. argv[1] is a file to make then. */
int main(int argc, char **argv)
{
    struct timespec now;
    if (qemu_hypertrace_init(0) != 0)
        return 1;
    for (int i = 0; i < 1000; i++) {
        clock_gettime(CLOCK_REALTIME, &now);
        qemu_hypertrace_data(0)[0] = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
        qemu_hypertrace(0);
    }
    return argc == 2 && fopen(argv[1], "w") != NULL ? 0 : 1;
}
"""
LATE = """
import os, time
from htrun.runner import run
session = run._session

def late(*arguments):
    while not os.path.exists({!r}):
        time.sleep(0.01)
    return session(*arguments)

run._session = late
"""
STORES = """
#include <qemu-hypertrace.h>

/* Emits as libraries do that know no rings. */
int main(void)
{
    if (qemu_hypertrace_init(0) != 0)
        return 1;
    for (int i = 0; i < 100; i++)
        qemu_hypertrace_store_(qemu_hypertrace_control_, 0);
    return 3;
}
"""


BOTH = pytest.mark.parametrize("htrun", ["launcher", "portable"], indirect=True)
"""With the launcher in assembly, and with the launcher for machines on which htrun does not trace programs."""


@pytest.fixture
def htrun(request: pytest.FixtureRequest, tmp_path: Path) -> Htrun:
    portable = getattr(request, "param", "launcher") == "portable"
    return Htrun(tmp_path, portable_htrun(tmp_path)) if portable else Htrun(tmp_path)


def compiled(text: str, name: str, toolchain: Toolchain) -> Path:
    return toolchain.compile_text(text, name, flags=(f"-I{GUESTS}",))


def check_times(result: Result) -> None:
    """The events of `EARLY` have the times at which the program emitted them."""
    times = [(event.time * 1000, event.args[0]) for event in result.events]
    assert len(times) == 1000
    # Even if the recorder needs ten milliseconds to start, it has read the clocks before. Their relation is accurate to
    # microseconds.
    later = [own for _, own in times[1:]]
    assert all(own - 1_000_000 < time < after + 1_000_000 for (time, own), after in zip(times[:-1], later, strict=True))


def recorder_of(htrun: Htrun) -> int:
    """The process that records: the channel is a link to it."""
    return int(os.readlink(htrun.channel).split("/")[2])


class Running:
    """A run of htrun without ptrace, with a guest that is compiled from `WAITS`. ``pid``: the program's id."""

    def __init__(self, htrun: Htrun, program: Path, *arguments: str, group: bool = False) -> None:
        self.htrun = htrun
        command = [*htrun.command(*UNTRACED), str(program), *arguments]
        environment = os.environ | {leftovers.VARIABLE: str(htrun.directory)}
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env=environment, process_group=0 if group else None
        )
        assert self.process.stdout
        self.pid = int(self.process.stdout.readline())

    def lines(self) -> list[str]:
        """The output of the program until it exits."""
        assert self.process.stdout
        return self.process.stdout.read().splitlines()

    def status(self) -> int:
        """htrun's exit status, after a check that it has left no process."""
        status = self.process.wait(SECONDS)
        assert leftovers.remaining(str(self.htrun.directory)) == []
        return status

    def told(self) -> tuple[int, int]:
        """Events and exit status, as the summary says."""
        told = json.loads((self.htrun.directory / "summary.json").read_text())
        assert told["no_ptrace"]
        return told["events"], told["exit_status"]


@pytest.fixture
def waits(toolchain: Toolchain) -> Path:
    return compiled(WAITS, "waits", toolchain)


@pytest.mark.parametrize("target", [NATIVE, I686, AARCH64, S390X], ids=lambda target: target.name)
def test_threads(target: Target, toolchain: Toolchain, htrun: Htrun) -> None:
    program, trace = toolchain.compile(GUESTS / "ring_emitters.c", target), htrun.directory / "trace"
    count = 50_000 if target is NATIVE else 2000
    result = htrun.run(program, "threads", "2", str(count), options=(*UNTRACED, "-o", trace))
    emitters = check_exact(result, dict.fromkeys(range(2), count))
    check_untouched(result)
    assert all(len({(event.tid, event.cpu) for event in events}) == 1 for events in emitters.values())
    assert result.summary["no_ptrace"]
    streams = [stream for stream in open_trace(trace).streams if stream.comm == "emitter"]
    assert {stream.vcpu for stream in streams} == {1, 2}


@pytest.mark.parametrize("target", [NATIVE, AARCH64], ids=lambda target: target.name)
def test_the_times_of_events_before_the_recorder_is_ready(target: Target, toolchain: Toolchain, htrun: Htrun) -> None:
    """The native program uses the recorder's clock. The other program uses a different clock."""
    done = htrun.directory / "done"
    late = replace(htrun, program=changed_htrun(htrun.directory, LATE.format(str(done))))
    result = late.run(toolchain.compile_text(EARLY, "early", target), done, options=UNTRACED).check()
    check_times(result)


def test_a_program_without_events_does_not_wait_for_numpy(tmp_path: Path, htrun: Htrun) -> None:
    """The exit of the program does not wait for it, either. Here, the import never ends."""
    endless = tmp_path / "endless"
    (endless / "numpy").mkdir(parents=True)
    (endless / "numpy" / "__init__.py").write_text("import threading\nthreading.Event().wait()\n")
    changed = changed_htrun(htrun.directory, f"import sys\nsys.path.insert(0, {str(endless)!r})\n")
    assert replace(htrun, program=changed).run("true", options=UNTRACED).check().events == []


@pytest.mark.parametrize("way", ["forks", "raw-forks"])
def test_forks(way: str, toolchain: Toolchain, htrun: Htrun) -> None:
    program = toolchain.compile(GUESTS / "ring_emitters.c")
    result = htrun.run(program, way, "20", "500", options=UNTRACED)
    emitters = check_exact(result, {0: 20 * 500, **dict.fromkeys(range(1, 21), 500)})
    check_untouched(result)
    for events in emitters.values():
        assert {(event.tid, event.cpu) for event in events} == {(events[0].args[2], 0)}
    assert result.summary["processes"] == 21


@BOTH
def test_execs(toolchain: Toolchain, htrun: Htrun) -> None:
    """More images than there are rings: the rings of earlier images are reused."""
    program = toolchain.compile(GUESTS / "ring_emitters.c")
    options = (*UNTRACED, "--hypertrace", f"{htrun.channel},max-clients=2048")
    result = htrun.run(program, "execs", "1200", "3", options=options)
    check_exact(result, dict.fromkeys(range(1, 1201), 3))
    check_untouched(result)
    assert len({event.tid for event in result.events}) == 1


def test_exec_of_another_thread(toolchain: Toolchain, htrun: Htrun) -> None:
    result = htrun.run(toolchain.compile(GUESTS / "exact_exec.c"), options=UNTRACED)
    check_exact(result, {10 * image + who: 50 for image in range(9) for who in range(4)} | {90: 50})
    check_untouched(result)


@pytest.mark.parametrize("guest", ["exact_threads", "exact_tree", "exact_fork_in_thread", "exact_spawn"])
def test_processes_and_threads(guest: str, toolchain: Toolchain, htrun: Htrun) -> None:
    check_emitters(htrun.run(toolchain.compile(GUESTS / f"{guest}.c"), options=UNTRACED))


def test_children_that_are_killed_amid_an_event(toolchain: Toolchain, htrun: Htrun) -> None:
    """All published events are recorded. The first process exits earlier, and htrun waits for the other processes."""
    result = htrun.run(toolchain.compile(GUESTS / "exact_killed_children.c"), options=UNTRACED)
    emitters = by_emitter(result.check().events)
    for line in result.stdout.splitlines():
        who, count = map(int, line.split())
        events = emitters.get(who, [])
        assert [event.args[1] for event in events] == list(range(len(events)))
        assert count <= len(events) <= count + 1
    assert len(result.stdout.splitlines()) == 150
    check_untouched(result)


def test_more_processes_than_rings(toolchain: Toolchain, htrun: Htrun) -> None:
    """Rings of processes that have exited are used again."""
    program = compiled(
        """
#include "exact_events.h"

int main(void)
{
    start_events();
    for (uint64_t who = 1; who <= 3000; who++) {
        pid_t child = fork();
        check(child >= 0, "fork");
        if (child == 0) {
            emit_in(0, who, 0);
            _exit(0);
        }
        reap(child);
    }
    return 0;
}
""",
        "many",
        toolchain,
    )
    result = htrun.run(program, options=UNTRACED)
    check_exact(result, dict.fromkeys(range(1, 3001), 1))
    check_untouched(result)


@pytest.mark.parametrize("overflow", ["drop", "overwrite"])
def test_lost_events_are_counted(overflow: str, toolchain: Toolchain, htrun: Htrun) -> None:
    program = toolchain.compile(GUESTS / "ring_emitters.c")
    options = (*UNTRACED, "--overflow", overflow, "--ring-size", "64K")
    result = htrun.run(program, "threads", "3", "200000", options=options)
    assert (result.status, result.stderr) == (0, "")
    for events in by_emitter(result.events).values():
        numbers = [event.args[1] for event in events]
        assert numbers == sorted(set(numbers))
    assert result.summary["lost"] + len(result.events) == 3 * 200000


@BOTH
def test_signals_are_passed_on(waits: Path, htrun: Htrun) -> None:
    running = Running(htrun, waits, "3", str(int(signal.SIGTERM)), str(int(signal.SIGHUP)))
    os.kill(running.process.pid, signal.SIGHUP)
    assert running.process.stdout
    assert running.process.stdout.readline() == f"{int(signal.SIGHUP)} -1\n"
    running.process.terminate()
    assert running.process.stdout.readline() == f"{int(signal.SIGTERM)} -1\n"
    # With sigqueue(3), and value 0.
    tell_to_end(running.process.pid)
    assert running.lines() == [f"{int(signal.SIGTERM)} 0"]
    assert running.status() == 7
    assert running.told() == (100, 7)


@BOTH
def test_a_signal_to_the_group_arrives_once(waits: Path, htrun: Htrun) -> None:
    running = Running(htrun, waits, "40", str(int(signal.SIGHUP)), group=True)
    assert running.process.stdout
    for number in range(40):
        if number % 2:
            os.killpg(running.process.pid, signal.SIGHUP)
        else:
            os.kill(running.process.pid, signal.SIGHUP)
        assert running.process.stdout.readline() == f"{int(signal.SIGHUP)} -1\n"
        # Two pending signals with the same number are merged.
        wait_until(lambda: _pending(running.process.pid) == 0, "htrun takes the signal")
    assert running.lines() == []
    assert running.status() == 7


@BOTH
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGSEGV, signal.SIGKILL, signal.SIGRTMIN])
def test_death_by_a_signal(number: signal.Signals, waits: Path, htrun: Htrun) -> None:
    """The exit status is the program's, or that of htrun itself."""
    running = Running(htrun, waits, "1")
    os.kill(running.pid, number)
    assert running.status() == -number
    assert running.told() == (0, -number)
    running = Running(htrun, waits, "1")
    os.kill(running.process.pid, number)
    assert running.status() == -number


@BOTH
def test_stop_and_continue(waits: Path, htrun: Htrun) -> None:
    running = Running(htrun, waits, "1", str(int(signal.SIGTERM)))
    for _ in range(3):
        os.kill(running.pid, signal.SIGSTOP)
        result = os.waitid(os.P_PID, running.process.pid, os.WSTOPPED)
        assert result is not None
        assert result.si_status == signal.SIGSTOP
        os.kill(running.process.pid, signal.SIGCONT)
        wait_until(lambda: _state(running.pid) == "S", "the program continues")
    running.process.terminate()
    assert running.lines() == [f"{int(signal.SIGTERM)} -1"]
    assert running.status() == 7


def _pending(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("ShdPnd:"))


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@BOTH
def test_the_end_of_the_recorder(waits: Path, htrun: Htrun) -> None:
    """If it is killed or requested to end, the program is killed. In the second case, all events are written."""
    running = Running(htrun, waits, "1")
    tell_to_end(recorder_of(htrun))
    assert running.status() == -signal.SIGKILL
    assert running.told() == (0, -signal.SIGKILL)
    running = Running(htrun, waits, "1")
    os.kill(recorder_of(htrun), signal.SIGKILL)
    assert running.status() == -signal.SIGKILL


@BOTH
def test_what_is_recorded_after_htrun_was_killed(toolchain: Toolchain, htrun: Htrun) -> None:
    """The program dies with htrun. The events are written nevertheless."""
    command = [*htrun.command(*UNTRACED), str(toolchain.compile(GUESTS / "exact_killed.c"))]
    environment = os.environ | {leftovers.VARIABLE: str(htrun.directory)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout
        told = [int(process.stdout.readline()) for _ in range(5)]
        process.kill()
        told += [int(line) for line in process.stdout.read().splitlines()]
    assert leftovers.remaining(str(htrun.directory)) == []
    events = [LogEvent.parse(line) for line in (htrun.directory / "log").read_text().splitlines()]
    assert [event.args[1] for event in events] == list(range(len(events)))
    assert told[-1] <= len(events) <= told[-1] + 100


@BOTH
def test_what_the_program_inherits(htrun: Htrun) -> None:
    """Its environment has the two variables, and it has one additional descriptor. It is neither traced nor
    filtered."""
    script = 'env; echo; ls /proc/$$/fd; grep -E "TracerPid|Seccomp:|SigBlk|SigIgn|NoNewPrivs" /proc/$$/status'
    command = ["bash", "-c", script]
    alone = subprocess.run(command, input="", capture_output=True, text=True, check=True, env=os.environ | {})
    done = htrun.run(*command, options=UNTRACED)
    assert (done.status, done.stderr) == (0, "")
    added = [f"HYPERTRACE={htrun.channel}", "HYPERTRACE_FD=99", "99"]
    assert sorted(done.stdout.splitlines()) == sorted([*alone.stdout.splitlines(), *added])


@BOTH
@pytest.mark.parametrize(
    ("words", "status"), [(("/nonexistent/program",), 127), (("sh", "-c", "exit 42"), 42), (("/etc/passwd",), 126)]
)
def test_exit_status(words: tuple[str, ...], status: int, htrun: Htrun) -> None:
    assert htrun.run(*words, options=UNTRACED).status == status


def test_stored_events_do_no_harm(toolchain: Toolchain, htrun: Htrun) -> None:
    result = htrun.run(toolchain.compile_text(STORES, "stores"), options=UNTRACED)
    assert result.status == 3
    assert result.stderr == (
        "htrun: warning: a program has emitted events by stores. They are not recorded, because this needs ptrace. Its "
        "guest library is too old for rings or could not use one, or it has no library; run it without --no-ptrace\n"
    )
    assert (result.summary["events"], result.summary["warnings"]) == (0, {"unseen": 1})


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--via", "store"), "--no-ptrace and --via store exclude each other: only ptrace shows stores"),
        (
            ("--timestamp", "ordered"),
            "--no-ptrace and --timestamp ordered exclude each other: only ptrace shows stores",
        ),
        (
            ("--syscalls", "read"),
            "--no-ptrace: only ptrace shows guest_user_syscall, guest_user_syscall_ret; leave out --syscalls, --decode "
            "and -trace",
        ),
    ],
)
def test_what_needs_ptrace_is_refused(options: tuple[str, ...], reason: str) -> None:
    done = subprocess.run([HTRUN, "--no-ptrace", *options, "true"], capture_output=True, text=True, timeout=SECONDS)
    assert (done.returncode, done.stderr) == (125, f"htrun: {reason}\n")
