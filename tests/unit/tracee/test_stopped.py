"""A stopped thread makes requests until it is resumed."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import os, signal, subprocess
from htrun.tracee import ptrace
from htrun.tracee.first_process import FirstProcess
from htrun.tracee.ptrace import Option, TraceeDied
from htrun.tracee.stopped import Stopped
from htrun.tracee.stops import InterruptStop
from htrun.tracee.wait import Waiter

sleeper = subprocess.Popen(["sleep", "infinity"])
tid = sleeper.pid
waiter = Waiter(FirstProcess(tid))
ptrace.seize(tid, Option.EXITKILL)
ptrace.interrupt(tid)
stop = waiter.next_of(tid)
stopped = Stopped(tid)
print(stop == InterruptStop(tid), stopped.registers().bits)
# Stopped again, it is the same object.
ptrace.interrupt(tid)
print(stopped.run_to_next(waiter) == InterruptStop(tid), stopped.signal_mask())
stopped.set_signal_mask(1 << 9)
print(stopped.signal_mask())
stopped.resume()
try:
    stopped.registers()
except AttributeError as error:
    print(type(error).__name__)

ptrace.interrupt(tid)
waiter.next_of(tid)
stopped = Stopped(tid)
os.kill(tid, signal.SIGKILL)
for request in (lambda: stopped.run_to_next(waiter), stopped.registers, lambda: stopped.user_word(0), stopped.resume):
    try:
        request()
    except TraceeDied:
        print("died")
"""


def test_a_stopped_thread_is_used_up_when_it_is_resumed() -> None:
    """After that, a request is a programming error. A request for a dead thread is not an error: each request reports
    that the thread is dead, even if another thread has its id by then."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=240)
    assert (done.stdout, done.stderr) == (
        "True 64\nTrue 0\n512\nAttributeError\ndied\ndied\ndied\ndied\n",
        "",
    )
