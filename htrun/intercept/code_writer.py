"""Replaces code that other threads may be running at the same moment, and restores the original bytes of sites."""

from __future__ import annotations

import errno
from contextlib import suppress
from typing import TYPE_CHECKING

from htrun import hosts
from htrun.hosts.host import Write
from htrun.intercept.arena import NoRoom
from htrun.intercept.arena_builder import register_barrier
from htrun.intercept.asleep import Asleep
from htrun.intercept.owners import with_owners
from htrun.tracee.inject import Injection
from htrun.tracee.memory import is_not_there
from htrun.tracee.ptrace import TraceeDied

if TYPE_CHECKING:
    from htrun.hosts.host import Registers
    from htrun.intercept.guest import AddressSpace, StoppedThread
    from htrun.intercept.sites import Site
    from htrun.tracee.wait import Waiter

_MEMBARRIER_SYNC_CORE = 1 << 5


class Rewritten(Exception):
    """The guest has changed the code that htrun was about to replace."""


def write(injection: Injection | None, space: AddressSpace, address: int, old: bytes, new: bytes) -> None:
    """Replace ``old`` by ``new`` at ``address`` while other threads may run there. The steps are those of the kernel's
    text_poke_bp: first a halt instruction, then the tail, then the first byte, with a serializing barrier in all
    threads between the steps. There is no barrier after the last step: a thread that executes the halt later is resumed
    (`met_halt`). Without an ``injection`` there are no barriers. Then only the halt prevents threads from executing a
    half-written instruction. This worked on all tested processors.

    If no other thread has the memory, nobody can run there, and all bytes are written in one step.

    Raises `Rewritten` if the code there is not ``old``, or cannot be read.
    """
    if len(space.threads) <= 1:
        _write_step(space, address, Write(address, new), old, old)
        return
    space.breakpoints.add(address)
    expected = old
    died: TraceeDied | None = None
    others = Asleep([thread.tid for thread in space.threads if thread.tid != injection.tid] if injection else [])
    steps = hosts.current().steps(address, old, new)
    for step in steps:
        _write_step(space, address, step, expected, old)
        offset = step.address - address
        expected = expected[:offset] + step.data + expected[offset + len(step.data) :]
        if injection is not None and step is not steps[-1] and not others.still():
            try:
                _synchronize(injection)
            except TraceeDied as death:
                # Other processes may run in the same memory (vfork), so the change must be completed.
                died, injection = death, None
    if died is not None:
        raise died


def _write_step(space: AddressSpace, address: int, step: Write, expected: bytes, old: bytes) -> None:
    """Write one step of the change from ``old`` to a patch at ``address``. ``expected``: the bytes that should be at
    ``address`` now. Raises `Rewritten` if other bytes are there."""
    try:
        found = space.memory.read(address, len(old))
        if found == expected:
            space.memory.write(step.address, step.data)
            return
        if expected != old and found.startswith(hosts.current().halt):
            space.memory.write(address, old[: len(hosts.current().halt)])
    except OSError as error:
        if not is_not_there(error):
            raise
        raise Rewritten from error
    raise Rewritten


def _synchronize(injection: Injection) -> None:
    """Make every thread of the process serialize its instruction stream."""
    try:
        injection.call("membarrier", _MEMBARRIER_SYNC_CORE, 0, 0)
    except OSError as error:
        if error.errno != errno.EPERM:
            raise
        register_barrier(injection)
        injection.call("membarrier", _MEMBARRIER_SYNC_CORE, 0, 0)


def met_halt(space: AddressSpace, address: int) -> bool:
    """Whether a thread that is stopped at ``address`` has executed a temporary halt, which htrun has replaced
    meanwhile. If there is still a halt instruction at this address, it belongs to the guest."""
    if address not in space.breakpoints:
        return False
    try:
        halt = hosts.current().halt
        return space.memory.read(address, len(halt)) != halt
    except OSError:
        # The code at this address is gone, so the thread will fault without htrun's help.
        return True


def settle(space: AddressSpace, parent: AddressSpace) -> None:
    """Find out which patches ``space`` has, and undo a change that is incomplete. ``space`` is the copy that a fork has
    made while other threads of ``parent`` ran. htrun may have patched sites of these threads during the copying."""
    for address, site in space.sites.items():
        try:
            code = space.memory.read(address, len(site.code))
        except OSError:
            # The code was unmapped meanwhile, as generated code may be.
            site.patch = None
            continue
        if address in parent.breakpoints and code.startswith(hosts.current().halt):
            space.memory.write(address, site.code)
        if site.patch is not None and code != site.patch.written:
            site.patch = None


def still_holds(space: AddressSpace, site: Site) -> bool:
    """Whether the code at a patched site is still the patch, followed by the bytes that the patch's jump borrows."""
    patch = site.patch
    if patch is None:
        return False
    expected = patch.written + patch.borrowed
    try:
        return space.memory.read(site.address, len(expected)) == expected
    except OSError:
        # The guest has unmapped the site's code.
        return False


def take_back(injection: Injection | None, space: AddressSpace, sites: list[Site]) -> None:
    """Restore the original bytes of the ``sites`` whose patches are still in place."""
    for site in with_owners(space, sites):
        patch = site.patch
        if patch is not None and still_holds(space, site):
            with suppress(Rewritten):
                write(injection, space, site.address, patch.written, patch.original)
        site.patch = None


def take_back_by(stopped: StoppedThread, waiter: Waiter, registers: Registers, sites: list[Site]) -> None:
    """Like `take_back`. The barriers are made by the thread ``stopped``, which is stopped with ``registers``."""
    if not sites:
        return
    thread = stopped.thread
    if thread.process.filtered:
        take_back(None, thread.space, sites)
    else:
        with injection_of(stopped, waiter, registers) as injection:
            take_back(injection, thread.space, sites)


def injection_of(stopped: StoppedThread, waiter: Waiter, registers: Registers) -> Injection:
    """An injection of system calls into a thread that is stopped with ``registers``. Raises `NoRoom` if an injected
    call might kill the thread."""
    space = stopped.thread.space
    assert space.abi is not None
    if stopped.thread.process.filtered:
        raise NoRoom("it has a seccomp filter of its own (as QEMU has with -sandbox)")
    return Injection(stopped, waiter, space.abi, space.syscall_instruction, registers)
