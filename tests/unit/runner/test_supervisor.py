"""The supervisor of a program that is not traced."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

SUPERVISED = """
import os, signal
from htrun.runner import supervisor

signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it.
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
program = os.fork()
if program == 0:
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.execvp("sleep", ["sleep", "1000"])
{recorder}
supervisor.serve(f"{{recorder}},{{status}},{{program}},{{pipe}}")
"""
DEAD = """
recorder = os.fork()
if recorder == 0:
    os._exit(0)
os.waitid(os.P_PID, recorder, os.WEXITED{options})
pipe, writer = os.pipe()
os.close(writer)
status = 7
"""
"""``options``: whether the dead recorder was reaped."""
DIES_WHEN_IT_IS_REACHED = """
reader, status = os.pipe()
pipe, writer = os.pipe()
recorder = os.fork()
if recorder == 0:
    signal.pause()
os.close(reader)
os.close(status)
os.close(writer)
opened = os.open

def open_pipe(path, *arguments):
    descriptor = opened(path, *arguments)
    if path == f"/proc/{recorder}/fd/{status}":
        os.kill(recorder, signal.SIGKILL)
        os.waitid(os.P_PID, recorder, os.WEXITED | os.WNOWAIT)
    return descriptor

os.open = open_pipe
"""


def supervised(recorder: str) -> tuple[int, str]:
    """The exit status and standard error of a supervisor. ``recorder``: code that makes the recorder."""
    code = SUPERVISED.format(recorder=recorder)
    done = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, timeout=120)
    return done.returncode, done.stderr


def test_a_recorder_that_is_dead_already() -> None:
    assert supervised(DEAD.format(options="")) == (-signal.SIGKILL, "")
    assert supervised(DEAD.format(options=" | os.WNOWAIT")) == (-signal.SIGKILL, "")


def test_a_recorder_that_dies_before_it_hears_of_the_supervisor() -> None:
    """The supervisor gets SIGPIPE, which it must not pass on to the program."""
    assert supervised(DIES_WHEN_IT_IS_REACHED) == (-signal.SIGKILL, "")


def test_a_recorder_that_cannot_be_reached() -> None:
    """It is alive, but does not have the pipe."""
    code = "recorder, status = os.getpid(), 999\npipe, writer = os.pipe()"
    message = "htrun: cannot reach the recorder, process "
    status, said = supervised(code)
    assert status == 125
    assert said.startswith(message)
    assert said.endswith(": No such file or directory\n")


LATE_WITNESS = """
import os, signal
from htrun.runner.supervisor import _Witness

signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
witness = _Witness()
os.kill(witness.process, signal.SIGSTOP)
os.waitid(os.P_PID, witness.process, os.WSTOPPED)
print(witness.has_got(signal.SIGUSR1), witness.has_got(signal.SIGCONT))
os.kill(witness.process, signal.SIGSTOP)
os.waitid(os.P_PID, witness.process, os.WSTOPPED)
os.system(f"kill -CONT {witness.process}")
print(witness.has_got(signal.SIGCONT))
witness.dismiss()
"""


def test_a_witness_that_answers_late_has_not_got_sigcont() -> None:
    """The supervisor continues the witness. If that counted, the supervisor would not continue the program."""
    output = subprocess.run([sys.executable, "-c", LATE_WITNESS], capture_output=True, text=True, timeout=120)
    assert (output.stdout.split(), output.stderr) == (["False", "False", "True"], "")


UNDONE = """
import os, signal, subprocess, sys
from htrun.runner.supervisor import _Supervisor, _Witness

def send(name):
    subprocess.run(["sh", "-c", f"kill -{name} 0"], check=True)

os.setpgid(0, 0)
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
witness = _Witness()
program = os.fork()
if program == 0:
    os.read(os.pipe()[0], 1)
ask = witness.has_got
def has_got(number):
    if number == signal.SIGNALS[0]:
        send("SECOND")
    witness.has_got = ask
    return ask(number)
witness.has_got = has_got
supervisor = _Supervisor(program, witness, 0, os.open(os.devnull, os.O_WRONLY))
send("FIRST")
supervisor._take_signals()
status = open(f"/proc/{program}/status").read()
pending = int(status.partition("ShdPnd:")[2].split()[0], 16)
print(*(name for name in ("CONT", "TSTP") if pending & 1 << getattr(signal, "SIG" + name) - 1))
os.kill(program, signal.SIGKILL)
witness.dismiss()
"""


@pytest.mark.parametrize(("first", "second"), [("CONT", "TSTP"), ("TSTP", "CONT")])
def test_a_signal_that_a_later_one_undoes_is_not_passed_on(first: str, second: str) -> None:
    """Both signals are sent to the whole group. The later one removes the earlier one from the pending signals of the
    witness before the witness has seen it."""
    code = UNDONE.replace("FIRST", first).replace("SECOND", second).replace("SIGNALS[0]", f"SIG{first}")
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (output.stdout.split(), output.stderr) == ([second], "")
