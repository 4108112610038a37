"""Waiting, with real tracees that are killed at the worst moment."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import os, signal, subprocess, sys
from htrun.tracee import ptrace, stops
from htrun.tracee.ptrace import Option
from htrun.tracee.stopped import Stopped
from htrun.tracee.stops import PtraceEvent, EventStop, Exited, Killed
from htrun.tracee.first_process import FirstProcess
from htrun.tracee.wait import Waiter

PROGRAM = "import signal, threading; input(); threading.Thread(target=int).start(); signal.pause()"
program = subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE)
first = program.pid
leader = FirstProcess(first)
waiter = Waiter(leader)
ptrace.seize(first, Option.TRACECLONE | Option.TRACEEXIT | Option.EXITKILL)
program.stdin.write(b"\\n")
program.stdin.flush()

def is_dead(tid):
    with open(f"/proc/{first}/task/{tid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0] == "Z"

def look_and_kill(kind, tid, options):
    if not options & os.WEXITED and not options & os.WNOHANG:
        # The kill comes just before the wait that takes the stop.
        look_and_kill(kind, tid, options | os.WEXITED | os.WNOWAIT)
    seen = look(kind, tid, options)
    if options & os.WNOWAIT and seen is not None and seen.si_status == signal.SIGTRAP | PtraceEvent.EXIT.value << 8:
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
            if stop == EventStop(first, PtraceEvent.CLONE):
                thread = Stopped(first).event_message()
            if stop == EventStop(first, PtraceEvent.EXIT):
                leader.hold()
            Stopped(stop.tid).resume()
"""


def ends_seen(of: str) -> str:
    """The exits that are reported when waiting for ``any`` tracee, or for ``one``. A thread is resumed from its exit
    event, and the program is killed by a SIGKILL after the event has been read but before it is taken."""
    return subprocess.run([sys.executable, "-c", SCRIPT, of], capture_output=True, text=True, timeout=240).stdout


def test_a_stop_that_has_gone_before_it_was_taken() -> None:
    assert ends_seen("any") == "thread is dead\nfirst is dead\n"


def test_a_stop_of_one_thread_that_has_gone_before_it_was_taken() -> None:
    assert ends_seen("one") == "thread is dead\n"


UNREAPED = """
import os, signal, subprocess, sys
from htrun.tracee import ptrace, stops
from htrun.tracee.ptrace import Option
from htrun.tracee.stopped import Stopped
from htrun.tracee.first_process import FirstProcess
from htrun.tracee.wait import Waiter

PROGRAM = "import threading; threading.Thread(target=threading.Event().wait).start(); print(flush=True)"
program = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE)
program.stdout.readline()
first = program.pid
(thread,) = {int(name) for name in os.listdir(f"/proc/{first}/task")} - {first}
leader = FirstProcess(first)
waiter = Waiter(leader)
ptrace.seize(first, Option.EXITKILL)
ptrace.seize(thread, Option.TRACEEXIT | Option.EXITKILL)
os.kill(first, signal.SIGKILL)
print(waiter.next_of(first) == stops.Killed(first, signal.SIGKILL))
known = {first, thread}
while (found := waiter.next(known)) is not None:
    tid, status = found
    stop = stops.decode(tid, status)
    print("first" if tid == first else "thread", type(stop).__name__)
    if stop == stops.EventStop(thread, stops.PtraceEvent.EXIT):
        Stopped(thread).resume()
    else:
        known.discard(tid)
"""


def test_a_leader_that_is_dead_and_not_told_of() -> None:
    """The leader has no exit event while another thread is stopped at its exit event. Waiting for the leader alone
    would never return."""
    done = subprocess.run([sys.executable, "-c", UNREAPED], capture_output=True, text=True, timeout=240)
    assert done.stdout == "True\nthread EventStop\nthread Killed\nfirst Killed\n"


OLDEST_FIRST = """
import os, signal, subprocess, sys
from htrun.tracee import ptrace, stops
from htrun.tracee.ptrace import Option
from htrun.tracee.stopped import Stopped
from htrun.tracee.first_process import FirstProcess
from htrun.tracee.wait import Waiter

# None of them is a child of this process, as none is of the tracer: the kernel looks at children first.
SLEEPERS = "for each in 1 2 3; do sleep infinity & echo $!; done; wait"
shell = subprocess.Popen(["sh", "-c", SLEEPERS], stdout=subprocess.PIPE)
first, older, younger = (int(shell.stdout.readline()) for _ in range(3))
leader = FirstProcess(first)
waiter = Waiter(leader)
leader.hold()
for tid in (first, older, younger):
    ptrace.seize(tid, Option.EXITKILL | Option.TRACEEXIT)
known = [first, older, younger]
names = {older: "older", younger: "younger", first: "first"}

def stop(tid):
    ptrace.interrupt(tid)
    while os.waitid(os.P_PID, tid, os.WSTOPPED | os.WNOWAIT | 0x40000000) is None:
        pass

stop(older)
stop(younger)
told = waiter.next(known)
print(names[told[0]])
# It goes on and is stopped again at once: the other one has waited for longer.
Stopped(told[0]).resume()
stop(told[0])
# What was taken already is the next stop of a thread for whoever waits for that.
if sys.argv[1] == "of":
    print(waiter.next_of(younger) == stops.InterruptStop(younger))
else:
    print(names[waiter.next(known)[0]])
print(names[waiter.next(known)[0]])
"""


@pytest.mark.parametrize(("way", "second"), [("any", "younger"), ("of", "True")])
def test_behind_a_held_death_the_oldest_is_told_first(way: str, second: str) -> None:
    """No tracee is returned twice before all others are returned. Otherwise, the others would wait forever if new
    tracees are created all the time."""
    done = subprocess.run([sys.executable, "-c", OLDEST_FIRST, way], capture_output=True, text=True, timeout=240)
    assert (done.stdout, done.stderr) == (f"older\n{second}\nolder\n", "")


IN_TURN = """
import os, subprocess
from htrun.tracee import ptrace
from htrun.tracee.ptrace import Option
from htrun.tracee.stopped import Stopped
from htrun.tracee.first_process import FirstProcess
from htrun.tracee.wait import Waiter

SLEEPERS = "for each in 1 2 3; do sleep infinity & echo $!; done; wait"
shell = subprocess.Popen(["sh", "-c", SLEEPERS], stdout=subprocess.PIPE)
first, older, younger = (int(shell.stdout.readline()) for _ in range(3))
leader = FirstProcess(first)
waiter = Waiter(leader)
for tid in (first, older, younger):
    ptrace.seize(tid, Option.EXITKILL)

def stop(tid):
    ptrace.interrupt(tid)
    while os.waitid(os.P_PID, tid, os.WSTOPPED | os.WNOWAIT | 0x40000000) is None:
        pass

stop(older)
stop(younger)
for _ in range(1000):
    tid, _status = waiter.next([first, older, younger])
    if tid == older:
        print("older")
        break
    Stopped(tid).resume()
    stop(tid)
"""


def test_one_that_stops_without_end_does_not_keep_waiting_from_an_older_one() -> None:
    """The kernel always returns the newest of the stopped tracees."""
    done = subprocess.run([sys.executable, "-c", IN_TURN], capture_output=True, text=True, timeout=240)
    assert (done.stdout, done.stderr) == ("older\n", "")


HIDDEN = """
import os, signal, subprocess
from htrun.tracee import ptrace
from htrun.tracee.ptrace import Option
from htrun.tracee.first_process import FirstProcess
from htrun.tracee.wait import Waiter

SLEEPERS = "for each in 1 2; do sleep infinity & echo $!; done; wait"
shell = subprocess.Popen(["sh", "-c", SLEEPERS], stdout=subprocess.PIPE)
first, older = (int(shell.stdout.readline()) for _ in range(2))
leader = FirstProcess(first)
waiter = Waiter(leader)
for tid in (older, first):
    ptrace.seize(tid, Option.EXITKILL)
leader.hold()
leader.executed(by_another=True)
leader.hold()
for tid in (first, older):
    os.kill(tid, signal.SIGKILL)
    os.waitid(os.P_PID, tid, os.WEXITED | os.WNOWAIT | 0x40000000)
names = {first: "first", older: "older"}
known = [first, older]
while (found := waiter.next(known)) is not None:
    print(names[found[0]])
    known.remove(found[0])
"""


def test_the_death_of_one_that_is_older_than_the_held_one() -> None:
    """Like a process that is older than a thread that has taken over the id of the first thread by an exec."""
    done = subprocess.run([sys.executable, "-c", HIDDEN], capture_output=True, text=True, timeout=240)
    assert (done.stdout, done.stderr) == ("older\nfirst\n", "")


UNKNOWN = """
import os, signal, subprocess
from htrun.tracee import ptrace
from htrun.tracee.ptrace import Option
from htrun.tracee.first_process import FirstProcess
from htrun.tracee.wait import Waiter

program = subprocess.Popen(["sleep", "infinity"])
leader = FirstProcess(program.pid)
waiter = Waiter(leader)
ptrace.seize(program.pid, Option.EXITKILL)
leader.hold()
program.kill()
known = [program.pid, 1 << 22]
while (found := waiter.next(known)) is not None:
    print("first" if found[0] == program.pid else found)
print("end")
"""


def test_the_wait_ends_when_the_kernel_knows_no_living_tracee() -> None:
    """Even if a thread is taken for a tracee that is none any more."""
    done = subprocess.run([sys.executable, "-c", UNKNOWN], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("first\nend\n", "")


IDLE = """
import os, signal, subprocess, sys
from htrun.tracee import ptrace
from htrun.tracee.first_process import FirstProcess
from htrun.tracee.ptrace import Option
from htrun.tracee.stopped import Stopped
from htrun.tracee.wait import Waiter

class Quick:
    def flush(self):
        print("flushed")

program = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
leader = FirstProcess(program.pid)
waiter = Waiter(leader)
print(waiter.is_idle(), "without a tracee")
ptrace.seize(program.pid, Option.EXITKILL | Option.TRACEEXIT)
waiter.expect_traps(Quick())
print(waiter.is_idle(), "while it runs")
ptrace.interrupt(program.pid)
os.waitid(os.P_PID, program.pid, os.WSTOPPED | os.WNOWAIT)
print(waiter.is_idle(), "at a stop")
print(waiter.is_idle(), "at the same stop")
assert os.waitid(os.P_PID, program.pid, os.WSTOPPED) is not None
print(waiter.is_idle(), "after the stop was taken")
leader.hold()
print(waiter.is_idle(), "while it dies")
program.kill()
"""


def test_idle_until_a_tracee_has_a_stop() -> None:
    done = subprocess.run([sys.executable, "-c", IDLE], capture_output=True, text=True, timeout=240)
    assert done.stderr == ""
    assert done.stdout.replace("flushed\n", "").splitlines() == [
        "True without a tracee",
        "True while it runs",
        "False at a stop",
        "False at the same stop",
        "True after the stop was taken",
        "False while it dies",
    ]
    assert done.stdout.count("flushed") == 5, "what the next wait would resume, runs meanwhile"
