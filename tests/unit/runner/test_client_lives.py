"""Owners of rings that are not traced are found in /proc, and their exits are noticed."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import pytest

from htrun.channel.ring_layout import owner_word
from htrun.events.stream import Stream
from htrun.rings.client_ring import Client
from htrun.rings.client_rings import Claim, ClientRings
from htrun.runner.client_lives import ClientLives

NAMESPACE = os.stat("/proc/self/ns/pid").st_ino


class Rings:
    """Rings with ``owners`` and their facts. ``exits``: the reported exits."""

    def __init__(self, size: int = 8) -> None:
        self.words = [0] * size
        self.claims = [Claim(0, 0, 0, False)] * size
        self.exits: list[int] = []

    def own(self, number: int, pid: int, tid: int, claim: Claim) -> None:
        self.words[number], self.claims[number] = owner_word(pid, tid), claim

    def owners(self) -> list[int]:
        return list(self.words)

    def claim(self, number: int) -> Claim:
        return self.claims[number]

    def ring_exited(self, number: int, owner: int, cookie: int, _tid: int, _source: object) -> None:
        """If another image has claimed the ring, the exit of the former image is not an exit of the ring's owner."""
        assert owner == self.words[number]
        if cookie == self.claims[number].cookie:
            self.exits.append(number)


class Scene:
    """`ClientLives` with `Rings`."""

    def __init__(self) -> None:
        self.rings = Rings()
        self.streams: list[Stream] = []
        self.poll = select.poll()
        self.lives = ClientLives(self.add_stream, self.poll)

    def add_stream(self, stream: Stream) -> int:
        self.streams.append(stream)
        return len(self.streams) - 1

    def look(self) -> bool:
        return self.lives.look(cast(ClientRings, self.rings))

    def await_death(self) -> None:
        [(descriptor, _)] = self.poll.poll(60_000)
        self.lives.died(descriptor, cast(ClientRings, self.rings))


@contextmanager
def sleeper() -> Iterator[int]:
    with subprocess.Popen(["sleep", "1000"]) as process:
        try:
            yield process.pid
        finally:
            process.kill()


def claim(cookie: int = 1, *, namespace: int = NAMESPACE, since: int = 1, complete: bool = True) -> Claim:
    return Claim(cookie, namespace, since, complete)


def test_a_process_that_is_killed() -> None:
    scene = Scene()
    with sleeper() as pid:
        scene.rings.own(0, pid, pid, claim())
        # As after qemu_hypertrace_fini() and another qemu_hypertrace_init(), before the first ring is freed.
        scene.rings.own(3, pid, pid, claim(since=2))
        assert scene.look()
        assert not scene.look()
        assert (scene.lives.any_alive, scene.rings.exits) == (True, [])
        os.kill(pid, signal.SIGKILL)
        scene.await_death()
    assert (scene.lives.any_alive, sorted(scene.rings.exits)) == (False, [0, 3])
    assert (scene.lives.processes_seen, scene.lives.threads_seen) == (1, 1)


@pytest.mark.parametrize("reaped", [False, True])
def test_a_process_that_was_dead_at_the_first_look(reaped: bool) -> None:
    scene = Scene()
    with subprocess.Popen(["true"]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        if reaped:
            process.wait()
        scene.rings.own(2, process.pid, process.pid, claim())
        scene.look()
    assert scene.rings.exits == [2]
    assert not scene.lives.any_alive
    assert scene.lives.processes_seen == 1


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_an_exec(order: tuple[int, int]) -> None:
    """The ring that was claimed earlier belongs to the former program, independently of its position."""
    scene, pid = Scene(), os.getpid()
    for number, since in enumerate(order):
        scene.rings.own(number, pid, pid, claim(cookie=since, since=since))
    scene.look()
    assert scene.rings.exits == [order.index(1)]
    assert scene.lives.any_alive


def test_a_thread_that_is_gone() -> None:
    scene, pid = Scene(), os.getpid()
    scene.rings.own(0, pid, pid, claim())
    scene.rings.own(1, pid, 1 << 30, claim())
    scene.look()
    assert scene.rings.exits == [1]


def test_an_owner_that_has_not_written_its_ids_yet() -> None:
    scene = Scene()
    with sleeper() as pid:
        scene.rings.own(0, pid, pid, claim(namespace=0, complete=False))
        scene.look()
        assert scene.lives.processes_seen == 0
        scene.rings.own(0, pid, pid, claim())
        scene.look()
        assert scene.lives.processes_seen == 1
    # Another thread was killed in between.
    scene.rings.own(1, 1 << 30, 1 << 30, claim(namespace=0, complete=False))
    for _ in range(100):
        scene.look()
    assert 1 in scene.rings.exits


def test_a_ring_with_a_new_owner() -> None:
    scene, pid = Scene(), os.getpid()
    with sleeper() as other:
        scene.rings.own(0, other, other, claim())
        scene.look()
        scene.rings.own(0, pid, pid, claim(cookie=2))
        scene.look()
        os.kill(other, signal.SIGKILL)
        scene.await_death()
    assert scene.rings.exits == []


def test_a_ring_that_a_later_image_of_the_same_thread_has_taken() -> None:
    """The owner word is the same. An earlier check has assigned the ring to an older image."""
    scene, pid = Scene(), os.getpid()
    scene.rings.own(0, pid, pid, claim(cookie=1, since=1))
    scene.look()
    scene.rings.own(0, pid, pid, claim(cookie=3, since=3))
    scene.rings.own(1, pid, pid, claim(cookie=2, since=2))
    scene.look()
    assert scene.rings.exits == [1]


def test_a_process_that_is_killed_after_it_took_its_ring_again() -> None:
    scene = Scene()
    with sleeper() as pid:
        scene.rings.own(0, pid, pid, claim(cookie=1))
        scene.look()
        scene.rings.own(0, pid, pid, claim(cookie=2, since=2))
        os.kill(pid, signal.SIGKILL)
        scene.await_death()
    assert scene.rings.exits == [0]


@pytest.mark.parametrize("owner", [0, 1 << 31, (1 << 32) - 1])
def test_ids_that_no_process_has(owner: int) -> None:
    scene = Scene()
    scene.rings.own(0, owner, 5, claim())
    scene.look()
    assert scene.rings.exits == [0]


def test_threads_of_a_machine_are_not_looked_for() -> None:
    scene = Scene()
    scene.rings.own(0, 1 << 30, 1 << 30, claim(namespace=0)._replace(in_machine=True))
    scene.look()
    scene.rings.own(1, os.getpid(), os.getpid(), claim())
    scene.look()
    assert (scene.rings.exits, scene.lives.processes_seen) == ([], 1)


def test_streams() -> None:
    """Each thread has one number, even if it claims several rings. The first thread has number 0."""
    scene, pid = Scene(), os.getpid()
    threads = [Client(owner_word(pid, tid), "name", False, 0, namespace=NAMESPACE) for tid in (pid + 1, pid, pid + 2)]
    sources = [scene.lives.source_of(client) for client in [*threads, *threads]]
    assert [source.number for source in sources] == [0, 1, 2] * 2
    assert [(stream.pid, stream.tid, stream.vcpu) for stream in scene.streams] == [
        (pid, pid + 1, 1),
        (pid, pid, 0),
        (pid, pid + 2, 2),
    ]
