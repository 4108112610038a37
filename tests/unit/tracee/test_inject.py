"""Calls that a tracee makes for htrun. Real tracees are affected by other events at the same time."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import os, signal, subprocess, sys, threading
from htrun.tracee import ptrace, stops
from htrun.hosts.x86_64.abi import X86_64
from htrun.tracee.inject import Injection, call_instruction
from htrun.tracee.memory import Memory
from htrun.tracee.ptrace import Option
from htrun.tracee.stopped import Stopped
from htrun.tracee.stops import PtraceEvent, EventStop
from htrun.tracee.first_process import FirstProcess
from htrun.tracee.wait import Waiter

PROGRAM = '''
import os, sys, threading
def execute():
    input()
    os.execv(sys.executable, [sys.executable, "-c", "print('the new program')"])
threading.Thread(target=execute).start()
os.read(int(sys.argv[1]), 1)
'''
READ, PAUSE = "0", "34"

def calls(tid, *words):
    with open(f"/proc/{tid}/syscall") as call:
        return call.read().split()[: len(words)] == list(words)

never, _writes = os.pipe()
command = [sys.executable, "-c", PROGRAM, str(never)]
program = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[never])
first = program.pid
while not calls(first, READ, hex(never)) or len(os.listdir(f"/proc/{first}/task")) < 2:
    pass
leader = FirstProcess(first)
waiter = Waiter(leader)
tasks = [int(name) for name in os.listdir(f"/proc/{first}/task")]
for task in tasks:
    exits = Option.TRACEEXIT if sys.argv[1] == "exit" else 0
    ptrace.seize(task, Option.TRACESYSGOOD | Option.TRACEEXEC | Option.EXITKILL | exits)
ptrace.interrupt(first)
assert waiter.next_of(first) == stops.InterruptStop(first)

def let_it_exec():
    while not calls(first, PAUSE):
        pass
    program.stdin.write(b"now\\n")
    program.stdin.flush()

def state():
    with open(f"/proc/{first}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0]

def look_late(kind, tid, options):
    if state() == "Z":
        while state() != "t":
            pass
        if sys.argv[1] == "nobody":
            raise ChildProcessError
    return look(kind, tid, options)

look = os.waitid
if sys.argv[1] != "exit":
    os.waitid = look_late
registers = Stopped(first).registers()
instruction = call_instruction(Memory(first), X86_64, registers.rip)
threading.Thread(target=let_it_exec).start()
abi = X86_64._replace(numbers={"pause": int(PAUSE)})
try:
    with Injection(Stopped(first), waiter, abi, instruction, registers) as injection:
        try:
            injection.call("pause")
        except ptrace.TraceeDied:
            if sys.argv[1] == "failure":
                raise OSError
            raise
except ptrace.TraceeDied:
    print("died", flush=True)
os.waitid = look
# Amid the exec nobody has the first id, and another thread must be known to be left.
known = set(tasks)
while (found := waiter.next(known)) is not None:
    stop = stops.decode(*found)
    if stop == EventStop(first, PtraceEvent.EXEC):
        print("exec", flush=True)
    if isinstance(stop, stops.Exited | stops.Killed):
        if stop.tid == first:
            print(stop == stops.Exited(first, 0))
            break
    else:
        if stop == EventStop(first, PtraceEvent.EXIT):
            leader.hold()
        Stopped(stop.tid).resume()
"""


@pytest.mark.parametrize("seen", ["exit", "exec", "nobody", "failure"])
def test_a_leader_whose_id_is_taken_over_by_an_exec_meanwhile(seen: str) -> None:
    """The injected call belongs to the old leader: it must not affect the program that has its id now. ``seen`` is what
    htrun sees first: the leader's exit event, the exec itself, or, in between, that no thread has the id. Another
    failure may hide this."""
    done = subprocess.run([sys.executable, "-c", SCRIPT, seen], capture_output=True, text=True, timeout=240)
    assert (done.stdout, done.stderr) == ("died\nexec\nthe new program\nTrue\n", "")
