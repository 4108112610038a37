"""Waiting, with real tracees that are killed at the worst moment."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import os, signal, subprocess, sys
from htrun.tracee import ptrace, stops
from htrun.tracee.ptrace import Option, Request
from htrun.tracee.stops import Event, EventStop, Exited, Killed
from htrun.tracee.wait import Waiter

PROGRAM = "import threading, time; input(); threading.Thread(target=int).start(); time.sleep(1000)"
program = subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE)
first = program.pid
waiter = Waiter(first)
ptrace.seize(first, Option.TRACECLONE | Option.TRACEEXIT | Option.EXITKILL)
program.stdin.write(b"\\n")
program.stdin.flush()

def is_dead(tid):
    with open(f"/proc/{first}/task/{tid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0] == "Z"

def look_and_kill(kind, tid, options):
    seen = look(kind, tid, options)
    if options & os.WNOWAIT and seen is not None and seen.si_status == signal.SIGTRAP | Event.EXIT.value << 8:
        if seen.si_pid != first:
            os.kill(first, signal.SIGKILL)
            while not is_dead(seen.si_pid):
                pass
    return seen

def next_stop():
    if sys.argv[1] == "any" or thread is None:
        found = waiter.next([first])
        return found and stops.decode(*found)
    return waiter.next_of(thread)

look, os.waitid = os.waitid, look_and_kill
thread = None
while (stop := next_stop()) is not None:
    match stop:
        case Exited(tid) | Killed(tid):
            print("first" if tid == first else "thread", "is dead")
            if sys.argv[1] == "one":
                break
        case _:
            if stop == EventStop(first, Event.CLONE):
                thread = ptrace.event_message(first)
            if stop == EventStop(first, Event.EXIT):
                waiter.hold(first)
            ptrace.request(Request.CONT, stop.tid)
"""


def ends_seen(of: str) -> str:
    """Which ends are seen by waiting for ``any`` tracee, or for ``one``, of a program whose thread is let go from its
    exit event, and dies, by a SIGKILL that comes when the event has been looked at and not yet taken."""
    return subprocess.run([sys.executable, "-c", SCRIPT, of], capture_output=True, text=True, timeout=240).stdout


def test_a_stop_that_has_gone_before_it_was_taken() -> None:
    assert ends_seen("any") == "thread is dead\nfirst is dead\n"


def test_a_stop_of_one_thread_that_has_gone_before_it_was_taken() -> None:
    assert ends_seen("one") == "thread is dead\n"


UNREAPED = """
import os, signal, subprocess, sys
from htrun.tracee import ptrace, stops
from htrun.tracee.ptrace import Option, Request
from htrun.tracee.wait import Waiter

PROGRAM = "import threading, time; threading.Thread(target=time.sleep, args=(1000,)).start(); print(flush=True)"
program = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE)
program.stdout.readline()
first = program.pid
(thread,) = {int(name) for name in os.listdir(f"/proc/{first}/task")} - {first}
waiter = Waiter(first)
ptrace.seize(first, Option.EXITKILL)
ptrace.seize(thread, Option.TRACEEXIT | Option.EXITKILL)
os.kill(first, signal.SIGKILL)
print(waiter.next_of(first) == stops.Killed(first, signal.SIGKILL))
known = {first, thread}
while (found := waiter.next(known)) is not None:
    tid, status = found
    stop = stops.decode(tid, status)
    print("first" if tid == first else "thread", type(stop).__name__)
    if stop == stops.EventStop(thread, stops.Event.EXIT):
        ptrace.request(Request.CONT, thread)
    else:
        known.discard(tid)
"""


def test_a_leader_that_is_dead_and_not_told_of() -> None:
    """Without an exit event, while another thread stands at its own. Waiting for the leader alone would never end."""
    done = subprocess.run([sys.executable, "-c", UNREAPED], capture_output=True, text=True, timeout=240)
    assert done.stdout == "True\nthread EventStop\nthread Killed\nfirst Killed\n"
