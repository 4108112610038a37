"""The registry of tracees. It handles the start, exec, exit and death of threads, in any order in which the kernel
reports them."""

from __future__ import annotations

import ctypes
import errno
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple

from htrun import hosts
from htrun.intercept.actions import inherited
from htrun.intercept.guest import AddressSpace, Process, SignalActions, StoppedThread, Thread
from htrun.intercept.masks import Masks
from htrun.tracee.first_process import FirstProcess
from htrun.tracee.inject import Injection
from htrun.tracee.memory import Memory
from htrun.tracee.ptrace import MOST_THREADS, TraceeDied, interrupt
from htrun.tracee.stopped import Stopped
from htrun.tracee.stops import Exited, InterruptStop, Killed, Stop
from htrun.tracee.wait import Waiter

_KCMP_VM, _KCMP_SIGHAND = 1, 4
_PR_SET_DUMPABLE = 4
# PyDLL keeps the interpreter's lock, which is faster for calls that take a microsecond (`htrun.tracee.ptrace`).
_libc = ctypes.PyDLL(None, use_errno=True)


def _same(kind: int, one: int, other: int) -> bool:
    """Whether two processes share a resource of this ``kind`` (kcmp(2))."""
    return int(_libc.syscall(hosts.current().native.numbers["kcmp"], one, other, kind, 0, 0)) == 0


def _is_in(process: int, tid: int) -> bool:
    """Whether ``tid`` is a thread of ``process``. A tgkill(2) with signal 0 takes a tenth of the time that it takes to
    read /proc."""
    number = hosts.current().native.numbers["tgkill"]
    # EPERM means that the thread exists and belongs to another user.
    return int(_libc.syscall(number, process, tid, 0)) == 0 or ctypes.get_errno() != errno.ESRCH


def _status_of(tid: int) -> dict[str, str]:
    """The fields of /proc/TID/status (proc_pid_status(5)); empty if the thread is gone."""
    try:
        with open(f"/proc/{tid}/status", encoding="ascii", errors="replace") as status:
            return dict(line.split(":", 1) for line in status)
    except OSError:
        return {}


def _ids(tid: int) -> tuple[int, int]:
    """The id of a thread's thread group and the id of its parent; zeros if the thread is gone."""
    fields = _status_of(tid)
    return int(fields.get("Tgid", 0)), int(fields.get("PPid", 0))


def _own_id(tid: int) -> int:
    """A thread's id in its own PID namespace; 0 if the thread is gone."""
    return int(_status_of(tid).get("NSpid", "0").split()[-1])


def _children(thread: Thread) -> list[int]:
    """The child processes of a thread, except for those that it has created with CLONE_PARENT."""
    try:
        with open(f"/proc/{thread.process.pid}/task/{thread.tid}/children", encoding="ascii") as children:
            return [int(word) for word in children.read().split()]
    except OSError:
        return []


class Hooks(NamedTuple):
    """Callbacks for events of tracees.

    ``thread_ended``: a thread will write no more records. ``forked``: a thread has created a child process.
    ``at_birth``: a thread is at its first stop, or at the event that reports its own child. ``began``, ``ended``: a
    thread has started or exited; an exit may be reported twice.
    """

    thread_ended: Callable[[Thread], None]
    forked: Callable[[Thread, Thread], None]
    at_birth: Callable[[StoppedThread], None]
    began: Callable[[Thread], None]
    ended: Callable[[Thread], None]


class Tracees:
    """All threads that are traced.

    The first stop of a new thread may come before the event of its creator (ptrace(2), "Attaching"). Such a *stranger*
    stays stopped until an event reports its creator, or until the creator has died, so that no event will come.
    """

    def __init__(self, first: FirstProcess, waiter: Waiter, hooks: Hooks) -> None:
        self.threads: dict[int, Thread] = {}
        self._first = first
        self.processes_seen = 0
        self.threads_seen = 1
        self._processes: dict[int, Process] = {}
        self._strangers: dict[int, Stop] = {}
        self._waiter = waiter
        self._hooks = hooks
        self._new_process(first.pid, AddressSpace(Memory(first.pid)), SignalActions(), big_endian=first.big_endian)

    def __iter__(self) -> Iterator[int]:
        """The ids of all tracees at this moment, strangers included. May be called from any thread."""
        return iter([*self.threads, *self._strangers])

    def stranger_stopped(self, stop: Stop) -> None:
        """Store the stop of a stranger, which stays stopped."""
        self._strangers[stop.tid] = stop

    def stranger_ended(self, tid: int) -> None:
        """Forget a stranger that continues, or that was killed before it ran."""
        self._strangers.pop(tid, None)

    def created(self, creator: StoppedThread, tid: int) -> Stop | None:
        """Handle a fork, vfork or clone event of ``creator``, which reports the new thread ``tid``.

        Returns the first stop of the new thread, if the thread already waits there.
        """
        # A new thread that was killed at its first stop may be gone, and must not be registered. If the creator was
        # killed at its event, it is now at its exit event. The message of an exit event is a status, such as 0, and not
        # a thread id.
        is_new = tid > 0 and tid not in self.threads
        if is_new and (tid in self._strangers or self._waiter.is_tracee(tid)):
            self._register(tid, creator.thread, creator)
        # The creator may be killed at its event. Even then the new thread must be handled.
        with suppress(TraceeDied):
            self._hooks.at_birth(creator)
        stop = self._strangers.pop(tid, None)
        return stop if tid in self.threads else None

    def unreported_children(self, dying: StoppedThread, status: int) -> set[int]:
        """The threads that ``dying`` has created, if it was killed before an event could report them. While a signal
        that kills is pending, the kernel skips the event of a new thread (kernel/signal.c, ptrace_stop); the result of
        the call is already in the registers. ``dying``: the creator, which is at its exit event. ``status``: the wait
        status that the creator will have."""
        if status & 0x7F != signal.SIGKILL and dying.thread.process.threads_seen == 1:
            return set()
        result = dying.user_word(hosts.current().words.result) & 0xFFFFFFFF
        found = {result, *_children(dying.thread)}
        if self._strangers and _own_id(dying.tid) != dying.tid:
            # The creator is in another PID namespace, in which the new thread has another id.
            found |= {tid for tid in self._strangers if _own_id(tid) == result}
        possible = {tid for tid in found if 0 < tid < MOST_THREADS and tid not in self.threads}
        return {tid for tid in possible if self._waiter.is_tracee(tid)}

    def born(self, stopped: StoppedThread) -> None:
        """Handle a thread that is at its first stop, or at a later stop that cannot be distinguished from a first
        stop."""
        self._hooks.at_birth(stopped)

    def orphans(self, dead: Thread) -> list[Stop]:
        """Register the strangers that thread ``dead`` may have created, and return their stops. This is needed only if
        the thread died without its exit event, because a second fatal signal ended the stop at this event
        (kernel/signal.c, complete_signal). These strangers belong to the thread's process or to a child of that
        process. If the process has ended, they are all strangers."""
        found: list[Stop] = []
        if dead.exiting:
            return found
        for tid, stop in list(self._strangers.items()):
            group, parent = _ids(tid)
            process = self._processes.get(group) or self._processes.get(parent)
            if dead.process.pid in (group, parent) or dead.process.pid not in self._processes:
                creator = next(iter(process.space.threads), dead) if process is not None else dead
                del self._strangers[tid]
                self._register(tid, creator, None)
                found.append(stop)
        return found

    def executed(self, tid: int, former: int) -> None:
        """Handle an exec: thread ``former`` now has the id ``tid`` and a new address space. It is the only live thread
        of its process.

        The other threads of the process are dead, but their wait statuses may come later.
        """
        caller = self.threads.get(former) or self.threads[tid]
        process = caller.process
        first = self._first
        if first.launched:
            process.big_endian = caller.exec.big_endian
        if tid == first.pid:
            first.executed(by_another=former != tid)
        for old in (former, tid):
            if old in self.threads:
                if former != tid:
                    self._hooks.ended(self.threads[old])
                self._forget(self.threads[old])
        self._leave(process)
        process.space = AddressSpace(Memory(tid))
        # Exec resets caught signals to the default and keeps ignored ones (execve(2)).
        ignored = process.actions.ignored
        process.actions = SignalActions.ignoring() if ignored else SignalActions()
        process.threads_seen = 0
        self._processes[process.pid] = process
        thread = self._new_thread(tid, process)
        if not first.launched or former != tid:
            self._hooks.began(thread)
        if not first.launched:
            Masks.adopt(thread)
        first.launched = True

    def exiting(self, thread: Thread, status: int) -> None:
        """Handle a thread at its exit event. The thread will write no more records. ``status``: the wait status that
        the thread will have."""
        thread.exiting = True
        self._hooks.thread_ended(thread)
        thread.ring = None
        self._hooks.ended(thread)
        if thread.tid == self._first.pid:
            self._first.exiting(status)

    def ended(self, thread: Thread, how: Exited | Killed) -> list[Thread]:
        """Handle a thread that has been reaped. Returns all threads that have ended with it.

        A thread group leader is reaped last. In an exec, a thread takes over the id of its leader (fs/exec.c,
        de_thread). If the process was killed just then, no event has reported the new id: the thread is still
        registered under its former id, and no stop will come for this id.
        """
        if thread.tid == self._first.pid:
            self._first.died(how)
        gone = [thread]
        if thread.tid == thread.process.pid and thread.process.living > 1:
            gone += [other for other in thread.space.threads if other.process is thread.process and other is not thread]
        for each in gone:
            self._hooks.ended(each)
            self._forget(each)
        return gone

    def processes(self) -> list[Process]:
        """All processes that are alive."""
        return list(self._processes.values())

    def _register(self, tid: int, creator: Thread, stopped: StoppedThread | None) -> None:
        """Register the new thread ``tid``. ``stopped``: the creator at its event; None if there was no event."""
        self.threads_seen += 1
        process = creator.process
        if _is_in(process.pid, tid):
            thread = self._new_thread(tid, process)
            Masks.inherit(creator, thread)
            self._hooks.began(thread)
            return
        shares_memory = _same(_KCMP_VM, creator.tid, tid)
        # Processes that share signal actions always share memory (clone(2), CLONE_SIGHAND).
        shares_actions = shares_memory and _same(_KCMP_SIGHAND, creator.tid, tid)
        thread = self._new_process(
            tid,
            process.space if shares_memory else self._copied(process, tid),
            process.actions if shares_actions else inherited(creator, stopped),
            big_endian=process.big_endian,
        )
        thread.process.filtered = process.filtered
        thread.process.guarded = list(process.guarded)
        Masks.inherit(creator, thread)
        self._hooks.forked(creator, thread)
        self._hooks.began(thread)

    def _copied(self, creator: Process, tid: int) -> AddressSpace:
        copy = creator.space.fork(tid)
        if copy.mappings:
            # If the child was killed meanwhile, its memory is not needed.
            with suppress(OSError, TraceeDied):
                try:
                    copy.memory.secure()
                except PermissionError:
                    if not creator.filtered:
                        self._open_forbidden(copy, tid)
        return copy

    def _open_forbidden(self, space: AddressSpace, tid: int) -> None:
        """Open the memory of a child although the setting PR_SET_DUMPABLE (prctl(2)), which the child has inherited,
        forbids this. An injected call permits it for a moment, before the child runs. Raises OSError or
        `TraceeDied`."""
        if tid not in self._strangers:
            self._strangers[tid] = self._waiter.next_of(tid)
        stopped = Stopped(tid)
        registers = stopped.registers()
        assert space.abi is not None
        with Injection(stopped, self._waiter, space.abi, space.syscall_instruction, registers) as injection:
            injection.call("prctl", _PR_SET_DUMPABLE, 1, 0, 0, 0)
            try:
                space.memory.keep_open()
            finally:
                injection.call("prctl", _PR_SET_DUMPABLE, 0, 0, 0, 0)
        # The injected calls have ended the child's group-stop, if there was one. This makes the child join the
        # group-stop again.
        interrupt(tid)
        self._strangers[tid] = InterruptStop(tid)

    def _new_process(self, pid: int, space: AddressSpace, actions: SignalActions, *, big_endian: bool) -> Thread:
        process = Process(pid, space, actions, big_endian=big_endian)
        self._processes[pid] = process
        self.processes_seen += 1
        return self._new_thread(pid, process)

    def _new_thread(self, tid: int, process: Process) -> Thread:
        thread = Thread(tid, process, process.threads_seen)
        process.threads_seen += 1
        process.living += 1
        self.threads[tid] = thread
        process.space.threads.add(thread)
        return thread

    def _forget(self, thread: Thread) -> None:
        if not thread.exiting:
            self._hooks.thread_ended(thread)
            thread.ring = None
        del self.threads[thread.tid]
        process, space = thread.process, thread.space
        if thread in space.threads:
            # Threads that an exec has ended belong to the former address space of the process. They are not in this
            # set.
            space.threads.remove(thread)
            space.pointers.forget(thread)
            process.living -= 1
        if not space.threads:
            space.close()
        if not process.living:
            self._processes.pop(process.pid, None)

    @staticmethod
    def _leave(process: Process) -> None:
        """Note that a process has left its address space. Other processes may still use it (vfork)."""
        space = process.space
        for thread in [thread for thread in space.threads if thread.process is process]:
            space.threads.remove(thread)
            space.pointers.forget(thread)
            thread.registered = False
        process.living = 0
        if not space.threads:
            space.close()
