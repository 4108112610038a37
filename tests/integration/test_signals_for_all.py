"""Signals that are sent to all processes, including the tracer: a program that handles them continues, and is
recorded."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.run import SECONDS, Htrun, tracer_of
from tests.support.toolchain import Toolchain
from tests.support.waiting import wait_until

_GUESTS = Path(__file__).parent / "guests"
CATCHABLE = sorted(set(range(1, signal.SIGRTMAX + 1)) - {signal.SIGKILL, signal.SIGSTOP})
"""Including the signals 32 and 33, which the C library uses."""
_EMITS_BETWEEN_LINES = """
#include <qemu-hypertrace.h>
#include <stdio.h>
int main(void)
{
    char line[16];
    if (qemu_hypertrace_init(NULL) != 0)
        return 1;
    qemu_hypertrace(0);
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        qemu_hypertrace(0);
        puts("emitted");
        fflush(stdout);
    }
    return 3;
}
"""
_SAVES = """
#include <qemu-hypertrace.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static volatile sig_atomic_t told;

static void on_end(int number)
{
    told = number;
}

int main(void)
{
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    for (int number = 1; number <= SIGRTMAX; number++)
        signal(number, on_end);
    if (qemu_hypertrace_init(NULL) != 0)
        return 1;
    puts("ready");
    fflush(stdout);
    sigdelset(&all, SIGTERM);
    sigsuspend(&all);
    for (int i = 0; i < 1000; i++)
        qemu_hypertrace(0);
    printf("saved after %d\\n", told);
    return 0;
}
"""


@pytest.mark.parametrize("options", [(), ("--no-patch",), ("--syscalls", "write")], ids=["patched", "trapped", "calls"])
def test_every_signal_leaves_the_tracer_alone(options: tuple[str, ...], toolchain: Toolchain, htrun: Htrun) -> None:
    program = toolchain.compile_text(_EMITS_BETWEEN_LINES, "emits_between_lines")
    command: list[str | Path] = [*htrun.command(*options), program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        tracer = tracer_of(process.pid)
        for number in CATCHABLE:
            for _ in range(2):
                os.kill(tracer, number)
            process.stdin.write("go on\n")
            process.stdin.flush()
            assert process.stdout.readline() == "emitted\n", f"after signal {number}"
        assert tracer_of(process.pid) == tracer
        process.stdin.close()
        assert process.wait(SECONDS) == 3
    events = [line for line in (htrun.directory / "log").read_text().splitlines() if "guest_hypertrace" in line]
    assert len(events) == len(CATCHABLE) + 1
    assert not os.path.lexists(htrun.channel)


def test_a_program_that_saves_its_work_when_all_are_told_to_end(toolchain: Toolchain, htrun: Htrun) -> None:
    """As with ``systemctl stop``, which sends SIGTERM to each process of a service, or ``scancel``."""
    program = toolchain.compile_text(_SAVES, "saves")
    with subprocess.Popen([*htrun.command(), program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for pid in (tracer_of(process.pid), process.pid):
            os.kill(pid, signal.SIGTERM)
        assert process.stdout.read() == f"saved after {signal.SIGTERM.value}\n"
        assert process.wait(SECONDS) == 0
    assert len((htrun.directory / "log").read_text().splitlines()) == 1000


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1, signal.SIGALRM, signal.SIGRTMAX])
def test_signals_while_it_starts(number: int, toolchain: Toolchain, htrun: Htrun) -> None:
    """The signal is sent to the whole group, as when a terminal is closed. The program was started with the signal
    ignored (nohup)."""
    starter = toolchain.compile(_GUESTS / "start_with.c")
    program = toolchain.compile_text(_EMITS_BETWEEN_LINES, "emits_between_lines")
    command: list[str | Path] = [starter, "ignored", *htrun.command(), program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        wait_until(lambda: Path(f"/proc/{process.pid}/exe").resolve() != starter, "the starter is still there")
        while not select.select([process.stdout], [], [], 0.001)[0]:
            os.killpg(process.pid, number)
        process.stdin.close()
        assert process.wait(SECONDS) == 3
    assert len((htrun.directory / "log").read_text().splitlines()) == 1


def test_a_clock_that_was_blocked_by_the_starter(toolchain: Toolchain, htrun: Htrun) -> None:
    """htrun keeps a thread that traps often on one processor, until a timer of the tracer (SIGALRM) finds that it no
    longer traps."""
    starter = toolchain.compile(_GUESTS / "start_with.c")
    program = toolchain.compile_text(
        """
        #include <qemu-hypertrace.h>
        #include <stdio.h>
        int main(void)
        {
            if (qemu_hypertrace_init(NULL) != 0)
                return 1;
            for (int i = 0; i < 2000; i++)
                qemu_hypertrace(0);
            puts("quiet");
            fflush(stdout);
            return getchar() == EOF ? 0 : 1;
        }
        """,
        "traps_densely",
    )
    before = os.sched_getaffinity(0)
    command: list[str | Path] = [starter, "alarm-blocked", *htrun.command("--no-patch"), program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "quiet\n"
        wait_until(lambda: os.sched_getaffinity(process.pid) == before, "the program may run where it could")
        process.stdin.close()
        assert process.wait(SECONDS) == 0
