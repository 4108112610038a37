"""The system calls of a program as strace and htrun record them, converted to one form that can be compared.

Two runs of a program differ in process ids, addresses and times. So a thread is identified by its position in the tree
of threads and their creators, and results that are process ids or addresses are not compared.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from errno import errorcode
from pathlib import Path
from typing import TYPE_CHECKING

from htrun.events.syscalls import table
from htrun.launch.environment import CHANNEL_VARIABLE

if TYPE_CHECKING:
    from htrun.analysis.trace import Trace

_LINE = re.compile(r"(?P<tid>\d+) +(?P<rest>.*)")
_START = re.compile(r"(?P<name>\w+)\(")
_RESUMED = re.compile(r"<\.\.\. (?P<name>\w+) resumed>")
_RESULT = re.compile(r"= (?P<value>0x[0-9a-f]+|-?\d+|\?)(?: (?P<error>E\w+))?[^=]*$")
_CREATING = frozenset({"clone", "clone3", "fork", "vfork"})
_ADDRESSES = frozenset({"mmap", "mmap2", "mremap", "brk", "shmat"})
_IDS = _CREATING | {"getpid", "getppid", "gettid", "wait4", "waitpid", "waitid", "set_tid_address", "getpgrp", "setsid"}
_RESTARTS = {-512: "ERESTARTSYS", -513: "ERESTARTNOINTR", -514: "ERESTARTNOHAND", -516: "ERESTART_RESTARTBLOCK"}


Tree = dict[str, list[tuple[str, str | None]]]
"""The calls of each thread and their results, by the position of the thread in the tree."""


@dataclass
class Call:
    """A system call. ``result``: see `_result`; None if the call never returned."""

    name: str
    result: str | None = None


@dataclass
class Calls:
    """The calls of a program. ``by_thread``: the calls of each thread, in order. ``children``: the threads that each
    thread has created, in order."""

    by_thread: dict[int, list[Call]] = field(default_factory=lambda: defaultdict(list))
    children: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))

    def enter(self, tid: int, name: str) -> None:
        """Add a call that thread ``tid`` makes."""
        self.by_thread[tid].append(Call(name))

    def leave(self, tid: int, name: str, value: int | None, error: str | None) -> None:
        """Add the result of the last call of thread ``tid``."""
        call = self.by_thread[tid][-1]
        if name == "execve" and call.name != name:
            # After the exec, the thread that has called execve has the id of its thread group leader.
            call = next(calls[-1] for calls in self.by_thread.values() if calls[-1] == Call(name))
        assert (call.name, call.result) == (name, None), f"thread {tid}: {name} returns, but it is in {call}"
        call.result = _result(name, value, error)
        if name in _CREATING and value is not None and value > 0:
            self.children[tid].append(value)

    def tree(self, without: frozenset[str] = frozenset()) -> Tree:
        """The calls of each thread, except the calls named in ``without``, by the thread's position: the first thread
        is ``1``, and its second child is ``1.2``.

        Restarts of interrupted calls are left out, because their number depends on the tracer.
        """
        root = next(iter(self.by_thread))
        found: Tree = {}
        waiting = [("1", root)]
        for place, tid in waiting:
            calls = [(call.name, call.result) for call in self.by_thread[tid] if call.name not in without]
            found[place] = [call for call in calls if call != ("restart_syscall", "ERESTART_RESTARTBLOCK")]
            waiting += [(f"{place}.{number}", child) for number, child in enumerate(self.children[tid], 1)]
        assert len(found) == len(self.by_thread), "a thread's creator is not known"
        return found


def strace(command: Sequence[str], log: Path, directory: Path, channel: Path | None = None) -> Calls:
    """Run ``command`` in ``directory`` under strace, which writes its log to ``log``. Returns the calls of the command.
    ``channel``: the value of HYPERTRACE in the environment, as under htrun, since the length of the environment affects
    the program's addresses."""
    words = ["strace", "-f", "-qq", "-e", "signal=none", "-e", "raw=all", "-o", str(log), *command]
    environment = os.environ if channel is None else os.environ | {CHANNEL_VARIABLE: str(channel)}
    subprocess.run(words, check=True, capture_output=True, cwd=directory, env=environment, timeout=240)
    return _parsed(log.read_text(errors="replace"))


def _parsed(text: str) -> Calls:
    calls = Calls()
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        assert match is not None, line
        tid, rest = int(match["tid"]), match["rest"]
        if rest.startswith("+++"):
            continue
        if resumed := _RESUMED.match(rest):
            _leave(calls, tid, resumed["name"], rest)
            continue
        begin = _START.match(rest)
        assert begin is not None, line
        calls.enter(tid, begin["name"])
        if "<unfinished ...>" not in rest and "<pid changed to" not in rest:
            _leave(calls, tid, begin["name"], rest)
    return calls


def _leave(calls: Calls, tid: int, name: str, rest: str) -> None:
    match = _RESULT.search(rest)
    assert match is not None, rest
    if match["value"] != "?":
        calls.leave(tid, name, int(match["value"], 0), match["error"])
    elif match["error"]:
        calls.leave(tid, name, None, match["error"])


def traced(trace: Trace) -> Calls:
    """The calls in a native trace of htrun."""
    calls = Calls()
    for event in trace:
        if event.num is None or event.arch is None:
            continue
        name = table(event.arch).name(event.num)
        if event.name == "guest_user_syscall":
            calls.enter(event.stream.tid, name)
        elif event.name == "guest_user_syscall_ret":
            value = event.args[0] - (1 << 64) if event.args[0] >> 63 else event.args[0]
            calls.leave(event.stream.tid, name, *_told(value))
    return calls


def _told(value: int) -> tuple[int | None, str | None]:
    """A result as strace prints it: -1 and the name of the error, or no number if the kernel restarts the call."""
    if value in _RESTARTS:
        return None, _RESTARTS[value]
    return (-1, errorcode[-value]) if -4096 < value < 0 else (value, None)


def _result(name: str, value: int | None, error: str | None) -> str:
    if error is not None:
        return error
    if name in _IDS and value:
        return "id"
    return "address" if name in _ADDRESSES else str(value)
