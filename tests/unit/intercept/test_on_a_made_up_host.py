"""Traps, patches, trampolines and the way out of them, on a machine that does not exist: `htrun.intercept` uses only
`htrun.hosts.host.Host` to access a machine. The program is interpreted in the memory of the test, and stops where
ptrace would stop it (`tests.unit.hosts.fake`).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import cast

import pytest

from htrun import hosts
from htrun.channel.file import Channel
from htrun.channel.layout import CONTROL_OFFSET, DATA_OFFSET, Layout
from htrun.events.clock import Clock, MonotonicSource
from htrun.events.stream import Stream
from htrun.events.warnings import Warnings
from htrun.hosts import host
from htrun.hosts.stops import KnownStore, RecordSpace
from htrun.intercept import way_out
from htrun.intercept.code_writer import Rewritten, write
from htrun.intercept.guest import AddressSpace, Mapping, Process, SignalActions, Thread
from htrun.intercept.masks import Masks
from htrun.intercept.no_patcher import NoPatcher
from htrun.intercept.patcher import Patcher
from htrun.intercept.sites import Site
from htrun.intercept.traps import Traps
from htrun.rings import layout as ring_layout
from htrun.rings.layout import RingShape
from htrun.rings.ring import Overflow, Ring, RingPool
from htrun.tracee.code_ranges import CodeRanges
from htrun.tracee.memory import Memory
from htrun.tracee.ptrace import MOST_THREADS
from htrun.tracee.stopped import Stopped
from htrun.tracee.wait import Waiter
from tests.unit.hosts.fake.host import ABI, FakeHost, Registers
from tests.unit.hosts.fake.instructions import FURTHEST_JUMP, STACK_POINTER, WORD, Instruction, Operation
from tests.unit.hosts.fake.process import FakeStopped, Fault, Kernel, Pages, load

_PROT_NONE, _PROT_READ, _PROT_READ_WRITE = 0, 1, 3
_MAP_SHARED = 1
_LAYOUT = Layout(num_args=2, max_clients=16)
_SHAPE = RingShape(num_args=2, packets=4, packet_stride=4096)
VALUE, BASE, LEFT, ZERO = 1, 2, 3, 4
LOOP = [
    Instruction(Operation.STORE, VALUE, BASE, 8),
    Instruction(Operation.ADD_NUMBER, VALUE, number=1),
    Instruction(Operation.ADD_NUMBER, LEFT, number=-1),
    Instruction(Operation.JUMP_IF_DIFFERENT, LEFT, ZERO, -4),
    Instruction(Operation.HALT),
    Instruction(Operation.CALL),
]
"""A loop that stores VALUE to BASE + 8, LEFT times. VALUE is incremented each time."""


class KnowsNothing:
    """No trap is known, so Python handles every trap."""

    count = 0
    learnt: list[KnownStore]

    def __init__(self) -> None:
        self.learnt = []

    def forget(self) -> None:
        """Forget nothing: no traps are known."""

    def let_signals_through(self, tid: int) -> None:
        """Do nothing: the machine code handles no traps."""

    def let_faults_through(self, tid: int) -> None:
        """Do nothing: the machine code handles no traps."""

    def look_at_signals(self, tid: int | None = None) -> None:
        """Do nothing: Python handles all traps."""

    def learn(self, tid: int, space: int, room: RecordSpace, store: KnownStore, trapped: Callable[[int], None]) -> None:
        """Record the call."""
        self.learnt.append(store)

    def settle(self) -> None:
        """Forget nothing: no traps are known."""


class Wait:
    """Provides the facts of a stop, like the machine code for stops."""

    registers: host.Registers

    def __init__(self) -> None:
        self.registers = Registers()
        self.known = KnowsNothing()

    def next(self) -> tuple[int, int | None]:
        """Not used, because the test itself runs the program."""
        raise NotImplementedError

    def facts(self, stopped: Stopped) -> tuple[int, int]:
        """The facts of the fault. `registers` are then those of the thread."""
        stopped.read_registers(self.registers)
        return stopped.fault()

    def resume_later(self, stopped: Stopped, deliver: int = 0) -> None:
        """Not used, because the test itself runs the program."""
        raise NotImplementedError

    def flush(self) -> None:
        """Do nothing: no resumption was delayed."""


class Recorder:
    """A pool that lends a single ring."""

    def __init__(self) -> None:
        self.pool = RingPool(_SHAPE, 4)
        self.ring: Ring | None = None

    def ring_of(self, thread: Thread, base_for: Callable[[Ring], int]) -> Ring:
        """The thread's."""
        ring = self.pool.take()
        assert ring is not None
        ring.lend(Stream(thread.tid, thread.process.pid), 0, base_for(ring), Overflow.BLOCK)
        self.ring = thread.ring = ring
        return ring

    def make_room(self) -> None:
        """Do nothing: no test fills a ring."""
        raise NotImplementedError

    def wake(self) -> None:
        """Do nothing: the test reads the ring at the end."""


class MasksUnchanged:
    """Replaces the handling of signal masks, which is not tested here. ``looked``: the number of calls."""

    def __init__(self) -> None:
        self.looked = 0

    def look(self, thread: Thread) -> None:
        """Count the call."""
        self.looked += 1

    def watch(self, stopped: Stopped, registers: Registers) -> None:
        """Do nothing: the masks do not change."""


class Scene:
    """A program that has mapped a channel, and the handlers of its stops."""

    def __init__(self, *, patch: bool = True) -> None:
        self.kernel = Kernel()
        self.channel = Channel.without_path(_LAYOUT)
        self.recorder, self.wait, self.masks = Recorder(), Wait(), MasksUnchanged()
        start = self._map(_PROT_READ_WRITE, 0, _LAYOUT.total_size, 0)
        self._map(_PROT_READ, start, CONTROL_OFFSET, 0)
        self._map(_PROT_NONE, start + CONTROL_OFFSET, DATA_OFFSET - CONTROL_OFFSET, CONTROL_OFFSET)
        self.control = start + CONTROL_OFFSET
        self.code, self.stack = Pages(4096, room=FURTHEST_JUMP), Pages(8192)
        self.site = self.code.address
        self.program = b"".join(word.encode() for word in LOOP)
        self.space = AddressSpace(Memory(self.kernel.tid))
        self.space.abi = ABI
        self.space.memory.write(self.site, self.program)
        self.space.syscall_instruction = self.site + len(self.program) - WORD
        self.space.mappings.add(Mapping(start, _LAYOUT.total_size, 0))
        self.thread = Thread(self.kernel.tid, Process(self.kernel.tid, self.space, SignalActions()), 0)
        self.space.threads.add(self.thread)
        warnings = Warnings(quiet=True)
        waiter = cast(Waiter, self.kernel)
        self.patcher = Patcher(self.channel, self.recorder.pool, CodeRanges(), waiter, warnings, ordered=False)
        clock = Clock(MonotonicSource())
        clock.source.read = self.kernel.read_counter  # type: ignore[method-assign]
        self.met: list[Site] = []
        self.traps = Traps(
            self.channel,
            self.recorder,
            clock,
            warnings,
            self.wait,
            cast(Masks, self.masks),
            self.patcher if patch else NoPatcher(),
            met=self.met.append,
        )
        for index in range(_LAYOUT.max_clients):
            struct.pack_into("<QQ", self.channel.memory, DATA_OFFSET + index * _LAYOUT.slot_stride, index, 100 + index)

    def add_thread(self) -> None:
        """Add another thread, which may be running."""
        self.space.threads.add(Thread(MOST_THREADS, self.thread.process, 1))

    def _map(self, protection: int, at: int, size: int, offset: int) -> int:
        fixed = 0x10 if at else 0
        arguments = (at, size, protection, _MAP_SHARED | fixed, self.channel.descriptor, offset)
        address = self.kernel.call("mmap", [*arguments])
        assert address > 0
        return address

    def begin(self, count: int, index: int = 0) -> None:
        """Let the program store ``index`` and the following indexes, ``count`` times."""
        registers = self.kernel.registers
        for number in range(16):
            setattr(registers, f"r{number}", 0x1111 * number)
        thread_pointer = self.stack.address
        self.space.memory.write(thread_pointer, thread_pointer.to_bytes(8, "little"))
        setattr(registers, f"r{STACK_POINTER}", self.stack.address + 4096)
        registers.thread_pointer = thread_pointer
        registers.r1, registers.r2, registers.r3, registers.r4 = index, self.control - 8, count, 0
        registers.pc = self.site

    def handle(self) -> bool:
        """Handle the program's fault. Returns whether the program can continue."""
        stopped = FakeStopped(self.thread, self.kernel)
        handled = self.traps.handle(stopped)
        if handled:
            stopped.set_registers(self.wait.registers)
        assert stopped.mask == 0
        return handled

    def leave_trampoline(self) -> None:
        """Move the thread out of a trampoline, as before a signal."""
        way_out.leave_for_signal(FakeStopped(self.thread, self.kernel))

    def run(self, until: Callable[[], bool] = lambda: False) -> Fault | None:
        """Run to the first fault of the program itself; the result is that of `Kernel.run`."""
        while (fault := self.kernel.run(until)) is not None and self.handle():
            pass
        return fault

    def run_steps(self, steps: int) -> None:
        """Execute this number of instructions, none of which may fault."""
        left = iter(range(steps))
        assert self.kernel.run(lambda: next(left, None) is None) is None

    @property
    def is_at_end(self) -> bool:
        """Whether the loop has ended."""
        return self.kernel.registers.pc == self.site + 4 * WORD

    @property
    def is_inside(self) -> bool:
        """Whether the program counter is in a trampoline."""
        arena = self.space.arena
        return arena is not None and arena.holds(self.kernel.registers.pc)

    @property
    def code_now(self) -> bytes:
        """The bytes at the address of the program's code."""
        return self.space.memory.read(self.site, len(self.program))

    @property
    def records(self) -> list[tuple[int, int, int, int, int]]:
        """The time, site, index and arguments of each record."""
        ring = self.recorder.ring
        assert ring is not None
        first = ring_layout.PAGE + ring_layout.PACKET_HEADER
        position = int.from_bytes(ring._memory[:8], "little")
        length = position - ring.address - first
        return list(struct.iter_unpack("<QIIQQ", bytes(ring._memory[first : first + length])))

    def close(self) -> None:
        """Unmap all memory."""
        self.space.memory.close()
        self.kernel.close()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Scene]]:
    """Creates programs on the made-up host."""
    scenes: list[Scene] = []
    monkeypatch.setattr(hosts, "current", FakeHost)

    def make(*, patch: bool = True) -> Scene:
        scene = Scene(patch=patch)
        scenes.append(scene)
        return scene

    yield make
    for scene in scenes:
        scene.close()


Make = Callable[..., Scene]


def events(scene: Scene) -> list[tuple[int, int, int, int]]:
    """The records without their times, which must not decrease."""
    times = [time for time, *_ in scene.records]
    assert times == sorted(set(times))
    return [(site, index, first, second) for _, site, index, first, second in scene.records]


def expected(indexes: range, site: int = 1) -> list[tuple[int, int, int, int]]:
    return [(site, index, index, 100 + index) for index in indexes]


def test_the_first_store_traps_and_the_others_write_their_records_themselves(made: Make) -> None:
    scene = made()
    scene.begin(5)
    before = scene.kernel.registers.copy()
    assert scene.run() == Fault(FakeHost.halt_code, 0)
    assert scene.is_at_end
    assert events(scene) == expected(range(5))
    assert scene.met[0].refused == ""
    assert scene.traps.count == 1
    assert [site.store.text for site in scene.met] == ["store r1, 8(r2)"]
    changed = {name for name, _ in Registers._fields_ if getattr(before, name) != getattr(scene.kernel.registers, name)}
    assert changed == {"r1", "r3", "pc"}
    jump = Instruction.decode(scene.code_now)
    assert jump.operation is Operation.JUMP
    assert scene.code_now[WORD:] == scene.program[WORD:]
    patch = scene.met[0].patch
    assert patch is not None
    assert scene.site + WORD + WORD * jump.number == patch.at
    assert abs(patch.at - scene.site) <= FakeHost.reach


def test_without_a_patcher_each_store_traps(made: Make) -> None:
    scene = made(patch=False)
    scene.begin(5)
    scene.run()
    assert events(scene) == expected(range(5))
    assert scene.traps.count == 5
    assert scene.code_now == scene.program
    assert scene.kernel.calls == []
    assert scene.met[0].refused == "--no-patch"


def test_what_can_not_be_patched_traps_and_says_why(made: Make) -> None:
    scene = made()
    half = Instruction(Operation.STORE_HALF, VALUE, BASE, 8).encode()
    scene.space.memory.write(scene.site, half)
    scene.begin(3)
    scene.run()
    assert events(scene) == expected(range(3))
    assert scene.traps.count == 3
    assert scene.met[0].refused == "store_half r1, 8(r2) can't be done by a trampoline"
    assert scene.code_now.startswith(half)


def test_a_jump_leads_no_farther_than_the_host_says(made: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeHost, "reach", 0)
    scene = made()
    scene.begin(2)
    scene.run()
    assert scene.traps.count == 2
    assert scene.met[0].refused == "the jump cannot reach any usable address"


def test_a_store_elsewhere_by_a_patched_site_is_made(made: Make) -> None:
    scene = made()
    scene.begin(2)
    scene.run()
    scene.begin(1, index=7)
    elsewhere = scene.stack.address + 64
    scene.kernel.registers.r2 = elsewhere - 8
    scene.run()
    assert scene.is_at_end
    assert load(elsewhere, 8) == 7
    assert events(scene) == expected(range(2))


def test_an_index_out_of_range_traps_in_the_trampoline_and_is_no_event(made: Make) -> None:
    scene = made()
    scene.begin(2)
    scene.run()
    scene.begin(1, index=_LAYOUT.max_clients)
    scene.run()
    assert scene.is_at_end
    assert scene.traps.count == 2
    assert events(scene) == expected(range(2))


def test_a_patch_is_taken_back_and_put_there_again(made: Make) -> None:
    scene = made()
    scene.begin(2)
    scene.run()
    patched = scene.code_now
    calls = list(scene.kernel.calls)
    assert patched != scene.program
    scene.patcher.controls_leave(scene.space, None, frozenset({scene.control}))
    assert scene.code_now == scene.program
    assert scene.met[0].patch is None
    scene.begin(3, index=2)
    scene.run()
    assert scene.traps.count == 2
    assert events(scene) == expected(range(5))
    assert scene.code_now == patched, "the trampoline that was made for it serves again"
    assert len(scene.met) == 1
    assert scene.kernel.calls == calls


def test_code_that_the_program_has_changed_is_neither_patched_nor_restored(made: Make) -> None:
    scene = made()
    scene.begin(2)
    scene.run()
    own = Instruction(Operation.MOVE, 9, 8).encode()
    scene.space.memory.write(scene.site, own)
    with pytest.raises(Rewritten):
        write(None, scene.space, scene.site, scene.program[:WORD], FakeHost.halt)
    scene.patcher.controls_leave(scene.space, None, frozenset({scene.control}))
    assert scene.code_now.startswith(own)


def test_a_thread_that_met_the_halt_of_a_patch_goes_on_and_one_at_a_halt_of_its_own_does_not(made: Make) -> None:
    scene = made()
    scene.add_thread()
    scene.begin(2)
    scene.run()
    patched = scene.code_now
    scene.begin(1, index=2)
    scene.space.memory.write(scene.site, FakeHost.halt)
    assert scene.kernel.run() == Fault(FakeHost.halt_code, 0)
    assert not scene.handle(), "the halt is still there: it is the program's own"
    scene.space.memory.write(scene.site, patched)
    assert scene.handle()
    assert scene.kernel.registers.pc == scene.site
    scene.run()
    assert events(scene) == expected(range(3))


def test_code_is_replaced_in_one_step_if_no_other_thread_can_run_there(made: Make) -> None:
    alone, together = made(), made()
    together.add_thread()
    for scene in (alone, together):
        scene.begin(2)
        scene.run()
        assert events(scene) == expected(range(2))
    assert not alone.space.breakpoints
    assert "membarrier" not in alone.kernel.calls
    assert together.space.breakpoints == {together.site}
    assert "membarrier" in together.kernel.calls


def test_the_way_out_of_a_trampoline_from_each_of_its_instructions(made: Make) -> None:
    scene = made()
    scene.begin(1)
    scene.run()
    indexes, published, steps = 1, [], 0
    while True:
        steps += 1
        scene.begin(1, index=indexes % _LAYOUT.max_clients)
        before = scene.kernel.registers.copy()
        scene.run_steps(steps)
        if not scene.is_inside:
            break
        emitted = len(scene.records)
        scene.leave_trampoline()
        published.append(scene.kernel.registers.pc != scene.site)
        assert scene.kernel.registers.pc == scene.site + WORD * published[-1]
        assert (emitted == indexes + 1) == published[-1]
        before.pc = scene.kernel.registers.pc
        assert bytes(before) == bytes(scene.kernel.registers), steps
        scene.run()
        assert scene.is_at_end
        indexes += 1
        assert len(scene.records) == indexes, "neither lost nor twice"
    assert steps > 30
    assert published == sorted(published)
    assert any(published)
    assert not all(published)
    assert [index for _, index, *_ in events(scene)] == [index % _LAYOUT.max_clients for index in range(indexes + 1)]
    assert scene.traps.count == 1


def test_the_way_out_of_a_trampoline_that_does_not_record(made: Make) -> None:
    scene = made()
    scene.begin(1)
    scene.run()
    scene.begin(1, index=_LAYOUT.max_clients)
    before = scene.kernel.registers.copy()
    assert scene.kernel.run() is not None
    assert scene.is_inside
    assert scene.kernel.registers.pc != before.pc
    scene.leave_trampoline()
    assert bytes(before) == bytes(scene.kernel.registers)


def test_a_thread_that_is_not_in_the_table_traps_and_then_is(made: Make) -> None:
    scene = made()
    scene.begin(1)
    scene.run()
    scene.patcher.rings.unregister(scene.thread)
    scene.begin(3, index=1)
    scene.run()
    assert scene.traps.count == 2, "the first of them has it registered again"
    assert events(scene) == expected(range(4))
