"""A thread is stopped at each instruction of a trampoline, or of the shared stub, and leaves it as if it had never been
there. The trampolines run in a real process, instruction by instruction.
"""

from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import Any

import pytest
from ptrace.binding.linux_struct import user_regs_struct

from htrun.hosts.x86_64.registers import Registers
from htrun.hosts.x86_64.trampoline import Trampoline
from htrun.intercept import way_out
from htrun.intercept.arena import Arena, CodeRun, ThreadTable
from htrun.intercept.places import Place
from htrun.intercept.ring_maps import RingMaps
from htrun.intercept.sites import Site
from htrun.rings import layout as ring
from htrun.rings.ring import RingPool
from htrun.tracee.code_ranges import CodeRanges
from tests.unit.hosts.x86_64.machine import (
    ARITHMETIC_FLAGS,
    CONTROL,
    ELSEWHERE,
    GENERAL,
    RING,
    RUNTIME,
    TABLE,
    TRAMPOLINE,
    Machine,
)
from tests.unit.hosts.x86_64.test_trampoline import Scene, scene

ROOM = "room"
NEXT = "next packet"
DROP = "full, drop"
TRAP = "full, trap"
ARMED = "armed"


class Stopped:
    """A thread in a trampoline, as htrun sees it."""

    def __init__(self, made: Scene, trampoline: Trampoline) -> None:
        machine = made.machine
        self.made = made
        self.trampoline = trampoline
        self.site = Site(
            1, machine.pid, made.store.address, made.store.code, made.store, Place(0, 0, "", 0, shared=False)
        )
        code = SimpleNamespace(ranges=CodeRanges())
        self.arena = Arena(RingMaps(1), 0, 0, ThreadTable(machine.at(TABLE)), True, code)  # type: ignore[arg-type]
        self.arena.add(CodeRun(machine.at(TRAMPOLINE), TABLE - TRAMPOLINE, 0))
        self.arena.runtimes.append(machine.at(RUNTIME))
        self.arena.adopt(trampoline, self.site)
        self.memory = SimpleNamespace(read=lambda address, size: machine.read(address - machine.base, size))

    def leave(self, regs: user_regs_struct) -> Any:
        """Move the thread, with the registers ``regs``, out of the trampoline. The ring is completed as htrun does
        it."""
        machine = self.made.machine
        end = RING + self.made.shape.size
        # A copy, since a ring's view would keep the machine's memory open.
        lent = RingPool(self.made.shape, 1).take()
        assert lent is not None
        lent._memory[:] = machine.read(RING, end - RING)
        lent.base = machine.at(RING)
        thread = SimpleNamespace(space=SimpleNamespace(memory=self.memory), ring=lent)
        registers = Registers.from_buffer_copy(regs)
        found = way_out.leave(thread, self.arena, registers)  # type: ignore[arg-type]
        ctypes.memmove(ctypes.addressof(regs), ctypes.addressof(registers), ctypes.sizeof(regs))
        machine.write(RING, bytes(lent._memory))
        return found


def prepare(made: Scene, room: str) -> None:
    """Fill the ring as the case requires."""
    machine, shape = made.machine, made.shape
    last = machine.at(made.first_record) + shape.packet_payload
    if room != ROOM:
        machine.write_u64(RING + ring.POSITION, last)
    if room in (DROP, TRAP):
        machine.write_u64(RING + ring.RELEASED, 0)
    if room == DROP:
        machine.write_u64(RING + ring.ON_FULL, ring.ON_FULL_DROP)
    if room == ARMED:
        machine.write_u64(RING + ring.PACKET_END, 0)


def outcome(made: Scene) -> tuple[int, int, int, int]:
    """The state of a ring's writer: losses, packets, the position of the record, the end of the packet."""
    read = made.machine.read_u64
    return (
        read(RING + ring.DROPPED),
        read(RING + ring.PACKET_NUMBER),
        read(RING + ring.POSITION) - made.machine.base,
        read(RING + ring.PACKET_END) - made.machine.base,
    )


def is_over(regs: user_regs_struct, made: Scene, trampoline: Trampoline) -> bool:
    behind = made.store.address + made.store.length
    return bool(regs.rip == behind or regs.rip == trampoline.address + trampoline.original)


def run_out(made: Scene, trampoline: Trampoline, regs: user_regs_struct) -> None:
    """Run until the store is done, or is about to be done by the guest's own instruction."""
    made.machine.step_until(regs, lambda now: is_over(now, made, trampoline))


def run_for(machine: Machine, regs: user_regs_struct, steps: int) -> user_regs_struct:
    left = iter(range(steps))
    return machine.step_until(regs, lambda _regs: next(left, None) is None)


@pytest.mark.parametrize("flags_live", [True, False])
@pytest.mark.parametrize("room", [ROOM, NEXT, DROP, TRAP, ARMED])
@pytest.mark.parametrize("form", ["41891c24", "66480f7e03"])
def test_leaving_at_each_instruction(machine: Machine, form: str, room: str, flags_live: bool) -> None:
    expected = None
    steps = 0
    published = []
    while True:
        made = scene(machine, form)
        prepare(made, room)
        trampoline = made.build(flags_live=flags_live)
        stopped = Stopped(made, trampoline)
        before = made.start(trampoline)
        if expected is None:
            run_out(made, trampoline, before)
            expected = outcome(made)
            continue
        regs = run_for(machine, before, steps)
        if regs.rip == made.store.address + made.store.length:
            break
        ended = regs.rip == trampoline.address + trampoline.original
        assert stopped.leave(regs) == (stopped.site, trampoline)
        kept = ARITHMETIC_FLAGS if flags_live else 0
        assert regs.eflags & kept == before.eflags & kept, steps
        assert [getattr(regs, name) for name in GENERAL] == [getattr(before, name) for name in GENERAL], steps
        published.append(regs.rip != made.store.address)
        if published[-1]:
            assert regs.rip == made.store.address + made.store.length
        else:
            # After the handler, the thread returns and continues as it would have without the signal.
            regs.rip = trampoline.address + trampoline.entry
            run_out(made, trampoline, regs)
        assert outcome(made) == expected, steps
        if ended:
            break
        steps += 1
    assert steps > 20
    assert published == sorted(published), "once a thread has published, it is past its site"
    assert any(published) == (room in (ROOM, NEXT, DROP))


def test_leaving_behind_an_ordinary_store(machine: Machine) -> None:
    made = scene(machine, "41891c24", ELSEWHERE)
    trampoline = made.build()
    stopped = Stopped(made, trampoline)
    before = made.start(trampoline)
    after_store = trampoline.address + trampoline.original + made.store.length
    regs = machine.step_until(before, lambda regs: regs.rip == after_store)
    assert stopped.leave(regs) == (stopped.site, trampoline)
    assert regs.rip == made.store.address + made.store.length
    assert [getattr(regs, name) for name in GENERAL] == [getattr(before, name) for name in GENERAL]


def test_a_place_in_no_trampoline(machine: Machine) -> None:
    made = scene(machine, "41891c24")
    stopped = Stopped(made, made.build())
    for place in (TRAMPOLINE + 0x4000, RUNTIME + 8, CONTROL):
        regs = machine.registers(rip=machine.at(place), rdx=0, rsp=machine.at(ELSEWHERE))
        before = bytes(regs)
        assert stopped.leave(regs) is None
        assert bytes(regs) == before
