"""Finds the threads that own the channel's rings, and notices when they exit, in runs without ptrace.

A ring has the ids that its owner sees, and the inode of the owner's PID namespace. With these, htrun finds the process
in ``/proc``. A descriptor of the process (pidfd_open(2)) reports its exit, however it dies. A thread that exits by
itself marks its ring. A thread that was killed no longer exists in ``/proc``. An exec kills all threads of a program
but starts no new process: if the new program takes a ring, this ring has the same ids but another image. This shows
that the rings of the former image are abandoned.
"""

from __future__ import annotations

import os
import select
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from htrun.events.stream import Source, Stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from htrun.rings.client_ring import Client
    from htrun.rings.client_rings import ClientRings

_PERIOD = 0.25
"""The interval, in seconds, at which htrun checks whether threads have exited."""
_LOOKS = 20
"""If a thread has taken a ring, but has not written its identity after this number of checks, it was killed."""


class _Ids(NamedTuple):
    """The identity of a process, as the process has written it to its ring."""

    namespace: int
    pid: int


class _Process:
    """A process that has rings. ``pid``: its id as htrun sees it. ``translated``: maps the thread ids that the process
    sees to the thread ids that htrun sees; None if they are the same."""

    def __init__(self, pid: int, descriptor: int | None, translated: dict[int, int] | None = None) -> None:
        self.pid = pid
        self.descriptor = descriptor
        """The pidfd of the process; None if it could not be opened."""
        self.dead = False
        self.since = time.monotonic()
        self.translated = translated
        self.claims: dict[int, _Claim] = {}
        """The rings of this process, by ring number."""
        self.numbers: dict[int, int] = {}
        """The number of each thread, in the order in which the threads appeared. The first thread of the process has
        number 0."""
        self.sources: dict[int, Source] = {}

    def tid_of(self, tid: int) -> int:
        """The id by which htrun knows the thread that sees its own id as ``tid``."""
        if self.translated is None:
            return tid
        if tid not in self.translated:
            self.translated |= _tids_of(self.pid)
        return self.translated.get(tid, tid)

    def number_of(self, tid: int) -> int:
        """The number of thread ``tid``, which is assigned if the thread is new."""
        return self.numbers.setdefault(tid, 0 if tid == self.pid else 1 + len(self.numbers.keys() - {self.pid}))


class _Claim(NamedTuple):
    """A ring that a thread of ``process`` has owned since ``time``. ``owner``: the process id and thread id in the
    ring. ``cookie``: identifies the image of the program."""

    owner: int
    cookie: int
    process: _Process
    time: int


class ClientLives:
    """Finds the owners of rings, and reports to ``rings`` which of them have exited. Must be created before there are
    any owners.

    `source_of` is for the drain; all other methods must be called by one thread.
    """

    def __init__(self, add_stream: Callable[[Stream], int], poll: select.poll) -> None:
        """``add_stream``: see `Drain.add_stream`. ``poll``: the object with which descriptors of processes are
        registered."""
        self._add_stream = add_stream
        self._poll = poll
        self._namespace = os.stat("/proc/self/ns/pid").st_ino
        self._lock = threading.Lock()
        self._processes: dict[_Ids, _Process] = {}
        self._by_descriptor: dict[int, _Process] = {}
        self._claims: dict[int, _Claim] = {}
        self._incomplete: dict[int, int] = {}
        """The rings whose owner has not yet written its identity, each with the number of checks so far."""
        self._last: list[int] = []
        self._threads_at = 0.0
        self.processes_seen = 0
        self.threads_seen = 0

    @property
    def any_alive(self) -> bool:
        """Whether a process that has had a ring is alive."""
        return any(not process.dead for process in self._processes.values())

    def look(self, rings: ClientRings) -> bool:
        """Find new owners of rings, and owners that are gone. Returns whether the owners have changed."""
        with self._lock:
            owners = rings.owners()
            changed = owners != self._last
            if changed or self._incomplete:
                self._compare(owners, rings)
                self._last = owners
            now = time.monotonic()
            if now >= self._threads_at:
                self._threads_at = now + _PERIOD
                self._compare(owners, rings)
                self._look_at_threads(rings)
            return changed

    def died(self, descriptor: int, rings: ClientRings) -> None:
        """Handle the death of the process whose ``descriptor`` was registered."""
        with self._lock:
            process = self._by_descriptor.pop(descriptor)
            self._poll.unregister(descriptor)
            os.close(descriptor)
            process.descriptor = None
            self._is_dead(process, rings)
            self._compare(rings.owners(), rings)

    def source_of(self, client: Client) -> Source:
        """The source for the thread that owns a ring, found by the ids that the thread has written to its ring."""
        with self._lock:
            return self._source(self._process(_Ids(client.namespace, client.pid)), client)

    def _compare(self, owners: list[int], rings: ClientRings) -> None:
        for number, claim in list(self._claims.items()):
            # After an exec, the ring may have been freed and taken again by the same ids.
            if owners[number] != claim.owner or rings.claim(number).cookie != claim.cookie:
                self._released(number, claim)
        for number, owner in enumerate(owners):
            if owner and number not in self._claims:
                self._claimed(number, owner, rings)
            elif number in self._incomplete:
                del self._incomplete[number]

    def _released(self, number: int, claim: _Claim) -> None:
        del self._claims[number]
        claim.process.claims.pop(number, None)

    def _claimed(self, number: int, owner: int, rings: ClientRings) -> None:
        cookie, namespace, since, complete, in_machine = rings.claim(number)
        looks = self._incomplete.pop(number, 0) + 1
        if not complete and looks < _LOOKS:
            self._incomplete[number] = looks
            return
        if in_machine:
            # The ids belong to processes of a virtual machine, whose exit htrun cannot see.
            return
        process = self._process(_Ids(namespace, owner >> 32))
        claim = _Claim(owner, cookie, process, since)
        for other, one in process.claims.items():
            if one.owner == owner and one.cookie != cookie:
                # The older of the two rings belongs to the program that ran in this process before an exec.
                self._exited(*((other, one) if one.time < since else (number, claim)), rings)
        self._claims[number] = process.claims[number] = claim
        self._number(process, process.tid_of(owner & 0xFFFFFFFF))
        if process.dead:
            self._exited(number, claim, rings)

    def _is_dead(self, process: _Process, rings: ClientRings) -> None:
        process.dead = True
        for number, claim in process.claims.items():
            self._exited(number, claim, rings)

    def _exited(self, number: int, claim: _Claim, rings: ClientRings) -> None:
        process = claim.process
        tid = process.tid_of(claim.owner & 0xFFFFFFFF)

        def source(client: Client) -> Source:
            with self._lock:
                return self._source(process, client)

        rings.ring_exited(number, claim.owner, claim.cookie, tid, source)

    def _look_at_threads(self, rings: ClientRings) -> None:
        # If a process has died quickly, the drain may have freed its rings before this check.
        old = time.monotonic() - _PERIOD
        self._processes = {
            ids: process
            for ids, process in self._processes.items()
            if process.claims or not process.dead or process.since > old
        }
        for number, claim in list(self._claims.items()):
            process, tid = claim.process, claim.process.tid_of(claim.owner & 0xFFFFFFFF)
            if process.dead:
                continue
            if process.descriptor is None and not os.path.exists(f"/proc/{process.pid}"):
                self._is_dead(process, rings)
            elif not os.path.exists(f"/proc/{process.pid}/task/{tid}"):
                self._exited(number, claim, rings)

    def _process(self, ids: _Ids) -> _Process:
        """The process whose rings contain ``ids``, its process id and PID namespace as it sees them. If there is no
        such process, the result is an object that is marked as dead."""
        process = self._processes.get(ids)
        if process is None or process.dead:
            found = self._found(ids)
            if process is None or not found.dead:
                process = self._processes[ids] = found
                self.processes_seen += 1
        return process

    def _found(self, ids: _Ids) -> _Process:
        if ids.namespace in (0, self._namespace):
            process = self._opened(ids.pid)
            if not process.dead or ids.namespace:
                return process
        pid = _pid_in_namespace(ids)
        return self._opened(pid, _tids_of(pid)) if pid is not None else _dead(ids.pid)

    def _opened(self, pid: int, translated: dict[int, int] | None = None) -> _Process:
        try:
            descriptor = os.pidfd_open(pid)
        except (ProcessLookupError, ValueError, OverflowError):
            return _dead(pid)
        except OSError:
            # No descriptor is free, or Linux is older than 5.3, or the ids are not those of a process.
            alive = os.path.exists(f"/proc/{pid}")
            return _Process(pid, None, translated) if alive else _dead(pid)
        if _is_ready(descriptor):
            # The process is a zombie.
            os.close(descriptor)
            return _dead(pid)
        process = self._by_descriptor[descriptor] = _Process(pid, descriptor, translated)
        self._poll.register(descriptor, select.POLLIN)
        return process

    def _number(self, process: _Process, tid: int) -> int:
        if tid not in process.numbers:
            self.threads_seen += 1
        return process.number_of(tid)

    def _source(self, process: _Process, client: Client) -> Source:
        tid = process.tid_of(client.tid)
        source = process.sources.get(tid)
        if source is None or source.stream.big_endian != client.big_endian:
            number = self._number(process, tid)
            stream = Stream(tid, process.pid, number, client.name, client.big_endian, time.time_ns())
            source = process.sources[tid] = Source(self._add_stream(stream), stream)
        return source


def _is_ready(descriptor: int) -> bool:
    """Whether the process of a descriptor has died. Uses poll(2), since select(2) accepts only small descriptors."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def _dead(pid: int) -> _Process:
    process = _Process(pid, None)
    process.dead = True
    return process


def _pid_in_namespace(ids: _Ids) -> int | None:
    """The id that htrun sees for a process in a PID namespace below htrun's; None if there is no such process."""
    for name in os.listdir("/proc"):
        if name.isdecimal() and _own_id(f"/proc/{name}/status") == ids.pid:
            # htrun may not read the namespace of another user's process.
            with suppress(PermissionError, FileNotFoundError, ProcessLookupError):
                if ids.namespace and os.stat(f"/proc/{name}/ns/pid").st_ino != ids.namespace:
                    continue
            return int(name)
    return None


def _tids_of(pid: int) -> dict[int, int]:
    """Maps the ids that the threads of process ``pid`` see to the ids that htrun sees."""
    tids: dict[int, int] = {}
    with suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/task"):
            tids[_own_id(f"/proc/{pid}/task/{name}/status")] = int(name)
    return tids


def _own_id(status: str) -> int:
    """The id that a process or thread sees, if it is in another PID namespace than htrun; 0 otherwise."""
    with suppress(OSError), open(status, encoding="ascii", errors="replace") as lines:
        words = next((line.split() for line in lines if line.startswith("NSpid:")), [])
        if len(words) > 2:
            return int(words[-1])
    return 0
