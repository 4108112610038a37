"""The registry of tracees: who appears, execs, exits and ends, in whatever order the kernel reports it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass

from htrun.intercept.guest import AddressSpace, Process, SignalActions, Thread
from htrun.intercept.masks import Masks
from htrun.tracee.memory import Memory
from htrun.tracee.stops import Exited, Killed
from htrun.tracee.wait import Waiter

_SYS_KCMP, _KCMP_VM, _KCMP_SIGHAND = 312, 1, 5
_libc = ctypes.CDLL(None, use_errno=True)


def _same(kind: int, one: int, other: int) -> bool:
    """Whether two processes share a resource (kcmp(2))."""
    return int(_libc.syscall(_SYS_KCMP, one, other, kind, 0, 0)) == 0


def _ids(tid: int) -> tuple[int, int] | None:
    """A thread's thread group id and its parent's; None when it is gone."""
    try:
        with open(f"/proc/{tid}/status", encoding="ascii", errors="replace") as status:
            fields = dict(line.split(":", 1) for line in status)
    except OSError:
        return None
    return int(fields["Tgid"]), int(fields["PPid"])


@dataclass(frozen=True, slots=True)
class Hooks:
    """What others want to know.

    ``thread_ended``: a thread makes no more records. ``forked``: a process (by its creating thread) has a new child
    process. ``at_birth``: a thread stands at its first stop, or at the event that tells of a child of its own.
    """

    thread_ended: Callable[[Thread], None]
    forked: Callable[[Thread, Thread], None]
    at_birth: Callable[[Thread], None]


class Tracees:
    """All threads that are traced, and the end of the first process."""

    def __init__(self, first: int, waiter: Waiter, *, big_endian: bool, hooks: Hooks) -> None:
        self.threads: dict[int, Thread] = {}
        self.launched = False
        self.first = first
        self.first_status: int | None = None
        """The first process's wait status, once it is known."""
        self.processes_seen = 0
        self.threads_seen = 1
        self._processes: dict[int, Process] = {}
        self._early: set[int] = set()
        self._waiter = waiter
        self._hooks = hooks
        self._new_process(first, AddressSpace(Memory(first)), SignalActions(), big_endian=big_endian)

    def appeared(self, tid: int) -> bool:
        """A thread is at its first stop, which may come before its creator's event (ptrace(2), "Attaching").

        False if it must stay stopped, because only that event will tell whose it is (CLONE_PARENT hides it).
        """
        if tid in self.threads:
            self._hooks.at_birth(self.threads[tid])
            return True
        ids = _ids(tid)
        if ids is None:
            return True
        process = self._processes.get(ids[0]) or self._processes.get(ids[1])
        creator = next(iter(process.space.threads), None) if process is not None else None
        if creator is None:
            self._early.add(tid)
            return False
        self._register(tid, ids[0], creator)
        self._hooks.at_birth(self.threads[tid])
        return True

    def created(self, creator: int, tid: int) -> bool:
        """A fork, vfork or clone event of ``creator``: the new thread is ``tid``.

        True if that thread already waits at its first stop and may go on now.
        """
        ids = _ids(tid)
        if tid not in self.threads and ids is not None:
            self._register(tid, ids[0], self.threads[creator])
        self._hooks.at_birth(self.threads[creator])
        waits = tid in self._early
        self._early.discard(tid)
        return waits

    def executed(self, tid: int, former: int) -> None:
        """Exec: thread ``former`` has become ``tid``, its process's only thread, with a new memory."""
        caller = self.threads.get(former) or self.threads[tid]
        process = caller.process
        if self.launched:
            process.big_endian = caller.next_big_endian
        self.launched = True
        if tid == self.first:
            self._waiter.unhold()
        for thread in [thread for thread in self.threads.values() if thread.process is process]:
            self._forget(thread)
        process.space = AddressSpace(Memory(tid))
        handler = process.actions.segv
        # Exec resets caught signals to the default and keeps ignored ones (execve(2)).
        ignored = handler is not None and process.actions.segv_ignored
        process.actions = SignalActions(handler if ignored else None)
        process.threads_seen = 0
        self._processes[process.pid] = process
        self._new_thread(tid, process)

    def exiting(self, tid: int, status: int) -> None:
        """A thread is at its exit event: it makes no more records. ``status``: the wait status it will have."""
        thread = self.threads[tid]
        self._hooks.thread_ended(thread)
        thread.ring = None
        if tid == self.first:
            self.first_status = status
            self._waiter.hold(tid)

    def ended(self, tid: int, how: Exited | Killed) -> None:
        """A thread has been reaped."""
        thread = self.threads.get(tid)
        if thread is None:
            # A thread that an exec of another thread has already replaced.
            return
        if tid == self.first:
            self.first_status = how.status << 8 if isinstance(how, Exited) else how.signal
        self._forget(thread)

    def orphans(self) -> list[int]:
        """A thread has died, perhaps before its event could tell of a child that waits for it: the waiting ones, now
        registered as children of any thread. One whose creator lives loses no more than its byte order."""
        found = [tid for tid in self._early if self.threads]
        for tid in found:
            self._early.discard(tid)
            ids = _ids(tid)
            if ids is not None:
                self._register(tid, ids[0], next(iter(self.threads.values())))
        return found

    def processes(self) -> list[Process]:
        """All processes that are alive."""
        return list(self._processes.values())

    def _register(self, tid: int, group: int, creator: Thread) -> None:
        process = self._processes.get(group)
        self.threads_seen += 1
        if process is not None:
            thread = self._new_thread(tid, process)
            Masks.inherit(creator, thread)
            return
        parent = creator.process
        shares_memory = _same(_KCMP_VM, creator.tid, tid)
        space = parent.space if shares_memory else parent.space.fork(tid)
        actions = parent.actions if _same(_KCMP_SIGHAND, creator.tid, tid) else SignalActions(parent.actions.segv)
        thread = self._new_process(tid, space, actions, big_endian=parent.big_endian)
        Masks.inherit(creator, thread)
        self._hooks.forked(creator, thread)

    def _new_process(self, pid: int, space: AddressSpace, actions: SignalActions, *, big_endian: bool) -> Thread:
        process = Process(pid, space, actions, big_endian)
        self._processes[pid] = process
        self.processes_seen += 1
        return self._new_thread(pid, process)

    def _new_thread(self, tid: int, process: Process) -> Thread:
        thread = Thread(tid, process, process.threads_seen)
        process.threads_seen += 1
        self.threads[tid] = thread
        process.space.threads.add(thread)
        return thread

    def _forget(self, thread: Thread) -> None:
        if thread.ring is not None:
            self._hooks.thread_ended(thread)
            thread.ring = None
        del self.threads[thread.tid]
        space = thread.process.space
        space.threads.discard(thread)
        if not space.threads:
            space.memory.close()
        if thread.tid == thread.process.pid and not any(
            other.process is thread.process for other in space.threads
        ):
            self._processes.pop(thread.process.pid, None)
