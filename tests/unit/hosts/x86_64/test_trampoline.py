"""Trampolines are executed. They write the right records, and the state of the thread does not change."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from iced_x86 import Decoder
from ptrace.binding.linux_struct import user_regs_struct

from htrun.hosts.host import NotAStore, OutOfReach, TrampolineContext
from htrun.hosts.x86_64 import trampoline
from htrun.hosts.x86_64.store import RegisterSource, Store, VectorSource, decode_store
from htrun.hosts.x86_64.trampoline import (
    RED_ZONE,
    Form,
    Trampoline,
    build,
    build_runtime,
    flags_at_site,
)
from htrun.rings import layout as ring
from tests.unit.hosts.x86_64 import forms
from tests.unit.hosts.x86_64.machine import (
    ARENA_SIZE,
    ARITHMETIC_FLAGS,
    CONTROL,
    DATA,
    ELSEWHERE,
    GENERAL,
    INT3,
    RING,
    RUNTIME,
    SITE,
    STACK,
    TABLE,
    THREAD,
    TRAMPOLINE,
    Machine,
)

CLIENTS = 8
PACKETS = 4
SITE_NUMBER = 0xC0FFEE42
RESUME_FLAG = 1 << 16
"""The processor sets this in the flags that it saves at a fault."""
DIRTY = 0x202
"""Flags at the start: interrupts on and the bit that is always 1; the arithmetic ones are added at random."""


@dataclass
class Scene:
    """A machine with a ring, a table and data slots, and a store to some address."""

    machine: Machine
    store: Store
    values: dict[str, int]
    context: TrampolineContext
    shape: ring.RingShape
    chance: random.Random
    xmm: bytes

    @property
    def first_record(self) -> int:
        return RING + ring.PAGE + ring.PACKET_HEADER

    def build(self, *, flags_live: bool = True, ordered: bool = False) -> Trampoline:
        made = build(
            self.store,
            self.store.address,
            self.context,
            self.machine.at(TRAMPOLINE) + self.chance.randrange(64),
            site=SITE_NUMBER,
            flags_live=flags_live,
            ordered=ordered,
        )
        place = made.address - self.machine.base
        self.machine.write(place, made.code)
        self.machine.write(SITE, b"\x0f\x0b" * 8)
        self.machine.write(SITE + self.store.length, INT3)
        return made

    def start(self, made: Trampoline) -> user_regs_struct:
        flags = DIRTY | self.chance.getrandbits(12) & ARITHMETIC_FLAGS
        self.machine.set_vectors(self.xmm)
        return self.machine.registers(**self.values, eflags=flags, rip=made.address + made.entry)

    def set_index(self, index: int) -> None:
        """Set the stored register, or vector, so that the store writes ``index`` in the guest's byte order."""
        store = self.store
        stored = index % (1 << 8 * store.size)
        if self.context.guest_big_endian:
            stored = int.from_bytes(stored.to_bytes(store.size, "big"), "little")
        if isinstance(store.source, VectorSource):
            at = 16 * store.source.register + store.source.offset
            self.xmm = self.xmm[:at] + stored.to_bytes(store.size, "little") + self.xmm[at + store.size :]
            return
        if store.byte_swapped:
            stored = int.from_bytes(stored.to_bytes(store.size, "little"), "big")
        assert isinstance(store.source, RegisterSource)
        name = store.source.name
        above = self.values[name] >> 8 * store.size << 8 * store.size
        self.values[name] = above | stored


def scene(
    machine: Machine,
    form: str,
    target: int = CONTROL,
    *,
    num_args: int = 4,
    index: int | None = 3,
    big_endian: bool = False,
    self_pointers: bool = True,
    seed: int = 0,
) -> Scene:
    """A complete scene. The address is set to ``target`` first, so a store of its own base register emits an invalid
    index. ``self_pointers``: only for stores that do not use ``fs``, because the base of ``fs`` is then different.
    """
    chance = random.Random(seed)
    store, values = forms.aimed(machine, form, machine.at(target), chance, SITE)
    shape = ring.RingShape(num_args, PACKETS, 4096)
    context = TrampolineContext(
        control_address=machine.at(CONTROL),
        data_address=machine.at(DATA),
        slot_stride=64 * -(-num_args // 8),
        num_args=num_args,
        max_clients=CLIENTS,
        table_address=machine.at(TABLE),
        guest_big_endian=big_endian,
        runtime_address=machine.at(RUNTIME),
        self_pointers=self_pointers and values["fs_base"] == machine.at(THREAD),
        likely_entry=ring.table_offsets(values["fs_base"])[0],
    )
    made = Scene(machine, store, values, context, shape, chance, chance.randbytes(256))
    if index is not None and settable(store):
        made.set_index(index)
    fill(made)
    return made


def settable(store: Store) -> bool:
    """Whether the value can be chosen freely: it is neither a constant nor in a register that the address depends
    on."""
    if store.vector_register is not None:
        return True
    name = getattr(store.source, "name", None)
    return name is not None and name not in (store.memory.base, store.memory.index, "rsp")


def fill(made: Scene) -> None:
    machine, shape = made.machine, made.shape
    machine.write(STACK - 0x1000, made.chance.randbytes(0x3000))
    machine.write(ELSEWHERE, made.chance.randbytes(0x1000))
    machine.write_u64(THREAD, machine.at(THREAD) if made.context.self_pointers else made.chance.getrandbits(64))
    machine.write(CONTROL - 0x1000, made.chance.randbytes(0x3000))
    machine.write(DATA, made.chance.randbytes(CLIENTS * made.context.slot_stride))
    machine.write(RUNTIME, build_runtime(machine.at(RUNTIME)))
    machine.write(TABLE, bytes(ring.TABLE_SIZE))
    machine.write(RING, bytes(ring.PAGE) + b"\xee" * (PACKETS * shape.packet_stride))
    words = {
        ring.POSITION: machine.at(made.first_record),
        ring.PACKET_END: machine.at(made.first_record) + shape.packet_payload,
        ring.PACKETS: machine.at(RING + ring.PAGE),
        ring.PACKET_MASK: PACKETS - 1,
        ring.PACKET_STRIDE: shape.packet_stride,
        ring.PACKET_PAYLOAD: shape.packet_payload,
        ring.RELEASED: PACKETS,
    }
    for offset, value in words.items():
        machine.write_u64(RING + offset, value)
    enter_thread(made, neighbour=False)


def enter_thread(made: Scene, *, neighbour: bool) -> None:
    """Put the thread into the table, in its own entry or, if that is taken by another key, in the neighbour."""
    key = made.values["fs_base"]
    own, other = ring.table_offsets(key)
    if neighbour:
        made.machine.write_u64(TABLE + own, key ^ 0x1000)
    place = TABLE + (other if neighbour else own)
    made.machine.write_u64(place, key)
    made.machine.write_u64(place + 8, made.machine.at(RING))


class Watched:
    """Everything that must not change: registers, flags, vector state, memory above the end of the red zone, the target
    of the store."""

    def __init__(self, made: Scene, before: user_regs_struct) -> None:
        self.made, self.before = made, before
        self.vectors = made.machine.vectors()
        self.rsp = before.rsp - made.machine.base
        self.memory = made.machine.read(0, ARENA_SIZE)

    def check(self, after: user_regs_struct, *, flags: bool = True, written: range = range(0)) -> None:
        """``written``: memory that may have changed besides the ring and the stack below the red zone."""
        for name in (*GENERAL, "fs_base", "gs_base", "fs", "gs", "ds", "es", "cs", "ss"):
            assert getattr(after, name) == getattr(self.before, name), name
        kept = ~RESUME_FLAG if flags else ~(RESUME_FLAG | ARITHMETIC_FLAGS)
        assert after.eflags & kept == self.before.eflags & kept
        assert self.made.machine.vectors() == self.vectors
        now = self.made.machine.read(0, ARENA_SIZE)
        ring_memory = range(RING, RING + self.made.shape.size)
        scratch = range(self.rsp - RED_ZONE - 128, self.rsp - RED_ZONE)
        at = 0
        for free in sorted((ring_memory, scratch, written), key=lambda part: part.start):
            assert now[at : free.start] == self.memory[at : free.start]
            at = max(at, free.stop)
        assert now[at:] == self.memory[at:]


def records(made: Scene, count: int) -> Iterator[tuple[int, int, int, bytes]]:
    """Time stamp, site, index and argument bytes of each."""
    for number in range(count):
        data = made.machine.read(made.first_record + number * made.shape.record_size, made.shape.record_size)
        words = [int.from_bytes(data[at : at + size], "little") for at, size in ((0, 8), (8, 4), (12, 4))]
        yield words[0], words[1], words[2], data[16:]


def slot(made: Scene, index: int) -> bytes:
    return made.machine.read(DATA + index * made.context.slot_stride, 8 * made.context.num_args)


def position(made: Scene) -> int:
    """Bytes of records in the first packet."""
    return made.machine.read_u64(RING + ring.POSITION) - made.machine.at(made.first_record)


def index_of(made: Scene) -> int:
    """The index that the scene's store writes."""
    store = made.store
    if store.vector_register is not None:
        stored = store.vector_value(made.xmm[16 * store.vector_register :][:16])
    else:
        stored = store.value(user_regs_struct(**made.values))
    if made.context.guest_big_endian:
        return int.from_bytes(stored.to_bytes(store.size, "little"), "big")
    return stored


def check_emits(made: Scene, *, flags_live: bool = True, ordered: bool = False) -> None:
    trampoline = made.build(flags_live=flags_live, ordered=ordered)
    before = made.start(trampoline)
    watched = Watched(made, before)
    after, number = made.machine.run(before)
    assert (number, after.rip) == (signal.SIGTRAP, made.store.address + made.store.length + 1)
    watched.check(after, flags=flags_live)
    assert position(made) == made.shape.record_size
    [(timestamp, site, index, arguments)] = records(made, 1)
    assert timestamp != 0xEEEEEEEEEEEEEEEE
    assert site == SITE_NUMBER
    assert index == index_of(made)
    assert arguments == slot(made, index)


def check_traps(made: Scene, *, flags_live: bool = True) -> None:
    """The original store is executed with the same state as at the site, and faults."""
    trampoline = made.build(flags_live=flags_live)
    before = made.start(trampoline)
    watched = Watched(made, before)
    at = position(made)
    after, number = made.machine.run(before)
    assert number == signal.SIGSEGV
    assert after.rip == trampoline.address + trampoline.original
    watched.check(after, flags=flags_live)
    assert position(made) == at


def check_stores_elsewhere(made: Scene, target: int, *, flags_live: bool = True) -> None:
    trampoline = made.build(flags_live=flags_live)
    before = made.start(trampoline)
    watched = Watched(made, before)
    after, number = made.machine.run(before)
    assert (number, after.rip) == (signal.SIGTRAP, made.store.address + made.store.length + 1)
    watched.check(after, flags=flags_live, written=range(target, target + made.store.size))
    stored = int.from_bytes(made.machine.read(target, made.store.size), "little")
    if made.store.vector_register is not None:
        assert stored == made.store.vector_value(made.xmm[16 * made.store.vector_register :][:16])
    else:
        assert stored == made.store.value(before)
    assert position(made) == 0


def check_event(made: Scene, *, flags_live: bool = True) -> None:
    """The result is an event, or a trap if the store can only write an invalid index."""
    if index_of(made) < CLIENTS:
        check_emits(made, flags_live=flags_live)
    else:
        check_traps(made, flags_live=flags_live)


@pytest.mark.parametrize("flags_live", [True, False])
@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("form", forms.WORDS)
def test_every_form_emits(machine: Machine, form: str, big_endian: bool, flags_live: bool) -> None:
    made = scene(machine, form, big_endian=big_endian, seed=1)
    assert not settable(made.store) or index_of(made) == 3
    check_event(made, flags_live=flags_live)


@pytest.mark.parametrize("form", forms.WORDS)
def test_every_form_stores_elsewhere(machine: Machine, form: str) -> None:
    for offset in (0, 0x7F8):
        made = scene(machine, form, ELSEWHERE + offset, seed=offset)
        check_stores_elsewhere(made, ELSEWHERE + offset)


@pytest.mark.parametrize("form", forms.WORDS)
@pytest.mark.parametrize("offset", [8, 16])
def test_other_words_of_the_control_region_trap(machine: Machine, form: str, offset: int) -> None:
    check_traps(scene(machine, form, CONTROL + offset))


@pytest.mark.parametrize("form", forms.WORDS_OF_LOW_ADDRESSES)
def test_addresses_of_32_bits(low_machine: Machine, form: str) -> None:
    check_event(scene(low_machine, form))
    check_stores_elsewhere(scene(low_machine, form, ELSEWHERE), ELSEWHERE)


@pytest.mark.parametrize(
    ("opcode", "immediate"), [("8905", ""), ("4c8925", ""), ("c705", "05000000"), ("48c705", "05000000")]
)
def test_ip_relative(machine: Machine, opcode: str, immediate: str) -> None:
    length = len(bytes.fromhex(opcode + immediate)) + 4
    distance = CONTROL - (SITE + length)
    form = opcode + distance.to_bytes(4, "little", signed=True).hex() + immediate
    check_emits(scene(machine, form))
    check_traps(scene(machine, form.replace("05000000", "08000000") if immediate else form, index=CLIENTS))


@pytest.mark.parametrize("num_args", range(1, 65))
def test_every_number_of_arguments(machine: Machine, num_args: int) -> None:
    for form in ("41891c24", "4889041f", "f20f1110"):
        check_emits(scene(machine, form, num_args=num_args, index=CLIENTS - 1))


@pytest.mark.parametrize("flags_live", [True, False])
def test_ordered_events(machine: Machine, flags_live: bool) -> None:
    for form in ("41891c24", "4889041f", "f20f1110"):
        check_emits(scene(machine, form), flags_live=flags_live, ordered=True)


@pytest.mark.parametrize("ordered", [True, False])
def test_time_goes_on(machine: Machine, ordered: bool) -> None:
    made = scene(machine, "41891c24")
    trampoline = made.build(ordered=ordered)
    for _ in range(3):
        machine.run(made.start(trampoline))
    stamps = [timestamp for timestamp, *_ in records(made, 3)]
    assert stamps == sorted(set(stamps))
    fence, read = b"\x0f\xae\xe8", b"\x0f\x31"
    assert trampoline.code[trampoline.entry :].startswith(fence) == ordered
    assert (read + fence in trampoline.code) == ordered


@pytest.mark.parametrize("index", [CLIENTS, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 64) - 1])
@pytest.mark.parametrize("form", ["49891c24", "41891c24", "4d0f38f126", "c5f9d613"])
def test_a_wild_index_traps(machine: Machine, form: str, index: int) -> None:
    made = scene(machine, form, index=index)
    check_event(made)
    assert index_of(made) >= CLIENTS or index == 1 << 32


def test_an_unknown_thread_traps(machine: Machine) -> None:
    made = scene(machine, "41891c24")
    machine.write(TABLE, bytes(ring.TABLE_SIZE))
    check_traps(made)


def test_a_thread_is_found_at_its_neighbours_place(machine: Machine) -> None:
    made = scene(machine, "41891c24")
    machine.write(TABLE, bytes(ring.TABLE_SIZE))
    enter_thread(made, neighbour=True)
    check_emits(made)


@pytest.mark.parametrize("neighbour", [False, True])
@pytest.mark.parametrize("form", ["41891c24", "66480f7e03"])
def test_a_thread_that_was_not_expected_is_found_in_the_table(machine: Machine, form: str, neighbour: bool) -> None:
    made = expecting_another(scene(machine, form))
    if neighbour:
        machine.write(TABLE, bytes(ring.TABLE_SIZE))
        enter_thread(made, neighbour=True)
    check_emits(made)


def test_an_unknown_thread_that_was_not_expected_traps(machine: Machine) -> None:
    made = expecting_another(scene(machine, "41891c24"))
    machine.write(TABLE, bytes(ring.TABLE_SIZE))
    machine.write_u64(TABLE + made.context.likely_entry, made.values["fs_base"] ^ 0x1000)
    check_traps(made)


def expecting_another(made: Scene) -> Scene:
    """The same with a trampoline that was built for another thread, which also has a ring."""
    stranger = made.values["fs_base"] ^ 0x1000
    place, _ = ring.table_offsets(stranger)
    assert place not in ring.table_offsets(made.values["fs_base"])
    made.machine.write_u64(TABLE + place, stranger)
    made.machine.write_u64(TABLE + place + 8, made.machine.at(ELSEWHERE))
    made.context = made.context._replace(likely_entry=place)
    return made


def run_once(made: Scene, trampoline: Trampoline) -> int:
    """Run the site once; returns the signal that ends it. In all cases, only the ring changes."""
    before = made.start(trampoline)
    watched = Watched(made, before)
    after, number = made.machine.run(before)
    watched.check(after)
    assert number in (signal.SIGTRAP, signal.SIGSEGV)
    if number == signal.SIGSEGV:
        assert after.rip == trampoline.address + trampoline.original
    return number


@pytest.mark.parametrize("num_args", [4, 50, 64])
def test_packets_are_filled_in_turn_until_none_is_released(machine: Machine, num_args: int) -> None:
    made = scene(machine, "41891c24", num_args=num_args)
    trampoline = made.build()
    each = made.shape.packet_payload // made.shape.record_size
    for number in range(PACKETS * each):
        assert run_once(made, trampoline) == signal.SIGTRAP, number
        assert machine.read_u64(RING + ring.PACKET_NUMBER) == number // each
        packet = machine.at(made.first_record) + number // each * made.shape.packet_stride
        assert machine.read_u64(RING + ring.POSITION) == packet + (number % each + 1) * made.shape.record_size
        assert machine.read_u64(RING + ring.PACKET_END) == packet + made.shape.packet_payload
    assert run_once(made, trampoline) == signal.SIGSEGV
    assert machine.read_u64(RING + ring.PACKET_NUMBER) == PACKETS - 1
    machine.write_u64(RING + ring.RELEASED, PACKETS + 1)
    assert run_once(made, trampoline) == signal.SIGTRAP
    assert machine.read_u64(RING + ring.PACKET_NUMBER) == PACKETS
    assert position(made) == made.shape.record_size
    assert machine.read_u64(RING + ring.DROPPED) == 0


@pytest.mark.parametrize("form", ["41891c24", "890c24", "48890e", "c5f9d613"])
def test_losses_are_counted_where_a_full_ring_drops(machine: Machine, form: str) -> None:
    made = scene(machine, form)
    trampoline = made.build()
    machine.write_u64(RING + ring.POSITION, machine.read_u64(RING + ring.PACKET_END))
    machine.write_u64(RING + ring.RELEASED, 1)
    machine.write_u64(RING + ring.ON_FULL, ring.ON_FULL_DROP)
    full = position(made)
    for lost in range(1, 4):
        assert run_once(made, trampoline) == signal.SIGTRAP
        assert machine.read_u64(RING + ring.DROPPED) == lost
    assert position(made) == full


@pytest.mark.parametrize("on_full", [ring.ON_FULL_TRAP, ring.ON_FULL_DROP])
def test_an_armed_ring_traps_at_the_next_event(machine: Machine, on_full: int) -> None:
    made = scene(machine, "41891c24")
    machine.write_u64(RING + ring.PACKET_END, 0)
    machine.write_u64(RING + ring.ON_FULL, on_full)
    check_traps(made)
    assert machine.read_u64(RING + ring.DROPPED) == 0
    assert machine.read_u64(RING + ring.PACKET_NUMBER) == 0


def next_instruction(machine: Machine, regs: user_regs_struct) -> user_regs_struct:
    """The registers when the thread has left the instruction that it is at."""
    return machine.step_until(regs, lambda now: now.rip != regs.rip)


@pytest.mark.parametrize("target", [CONTROL, ELSEWHERE, CONTROL + 8])
@pytest.mark.parametrize("form", ["41891c24", "48890e", "65890c2500000000", "660fd60a"])
def test_a_thread_is_known_at_each_instruction(machine: Machine, form: str, target: int) -> None:
    made = scene(machine, form, target)
    trampoline = made.build()
    regs = made.start(trampoline)
    behind = made.store.address + made.store.length
    while regs.rip != behind and regs.rip != trampoline.address + trampoline.original:
        assert regs.rip in trampoline
        recorded = position(made) != 0
        assert trampoline.is_before_commit(regs.rip - trampoline.address) == (not recorded)
        regs = next_instruction(machine, regs)
    assert behind not in trampoline
    assert (position(made) != 0) == (target == CONTROL)


def test_a_thread_without_stack_is_as_at_the_site(machine: Machine) -> None:
    """The first save faults if no stack is left below the red zone; nothing has changed yet."""
    made = scene(machine, "41891c24", num_args=64)
    made.values["rsp"] = machine.at(CONTROL) + RED_ZONE + 40 + 8
    trampoline = made.build()
    before = made.start(trampoline)
    watched = Watched(made, before)
    after, number = machine.run(before)
    assert number == signal.SIGSEGV
    assert 0 <= after.rip - trampoline.address <= trampoline.prepared
    watched.check(after)


def put_back(made: Scene, trampoline: Trampoline, regs: user_regs_struct) -> None:
    """Restore the registers of a thread in a trampoline that has not committed."""
    offset = regs.rip - trampoline.address
    stack = regs.rsp - made.machine.base
    if offset >= trampoline.prepared:
        for name, place in trampoline.saved:
            setattr(regs, name, made.machine.read_u64(stack + place))
    if offset >= trampoline.flags_saved and trampoline.flags_place is not None:
        regs.eflags = flags_at_site(regs.eflags, made.machine.read_u64(stack + trampoline.flags_place) & 0xFFFF)


@pytest.mark.parametrize(("num_args", "ordered"), [(4, False), (4, True), (64, False)])
@pytest.mark.parametrize("flags_live", [True, False])
@pytest.mark.parametrize("form", ["41891c24", "48890e", "8902", "66480f7e03"])
def test_a_thread_can_be_put_back_until_it_commits(
    machine: Machine, form: str, flags_live: bool, num_args: int, ordered: bool
) -> None:
    for seed in range(3):
        made = scene(machine, form, num_args=num_args, seed=seed)
        trampoline = made.build(flags_live=flags_live, ordered=ordered)
        before = made.start(trampoline)
        kept = ARITHMETIC_FLAGS if flags_live else 0
        regs = machine.registers(**made.values, eflags=before.eflags, rip=before.rip)
        while regs.rip != trampoline.address + trampoline.commit:
            regs = next_instruction(machine, regs)
            as_it_was = machine.registers()
            put_back(made, trampoline, as_it_was)
            assert as_it_was.eflags & kept == before.eflags & kept
            assert [getattr(as_it_was, name) for name in GENERAL] == [getattr(before, name) for name in GENERAL]


@pytest.mark.parametrize("form", forms.OTHERS)
def test_stores_of_other_sizes_have_no_trampoline(machine: Machine, form: str) -> None:
    with pytest.raises(NotAStore):
        scene(machine, form, index=None).build()


def test_a_store_of_32_bit_code_has_no_trampoline(machine: Machine) -> None:
    made = scene(machine, "41891c24")
    made.store = decode_store(bytes.fromhex("891a"), machine.at(SITE), 32)
    with pytest.raises(NotAStore):
        made.build()


def test_a_store_that_always_misses_the_control_word_has_no_trampoline(machine: Machine) -> None:
    with pytest.raises(NotAStore, match="never stores to the control word"):
        scene(machine, "890500000000", ELSEWHERE, index=None).build()


def test_a_runtime_stub_out_of_reach_is_an_error(machine: Machine) -> None:
    made = scene(machine, "41891c24")
    made.context = made.context._replace(runtime_address=made.context.runtime_address + (1 << 32))
    with pytest.raises(OutOfReach):
        made.build()


def test_a_far_site_is_reached_by_its_address(machine: Machine) -> None:
    made = scene(machine, "41891c24")
    far = 0x1234_5678_9000
    trampoline = build(
        decode_store(made.store.code, far, 64),
        far,
        made.context,
        machine.at(TRAMPOLINE),
        site=SITE_NUMBER,
        flags_live=True,
        ordered=False,
    )
    machine.write(TRAMPOLINE, trampoline.code)
    after, number = machine.run(made.start(trampoline))
    assert (number, after.rip) == (signal.SIGSEGV, far + made.store.length)
    assert position(made) == made.shape.record_size


@pytest.mark.parametrize("form", [*forms.WORDS])
def test_every_byte_is_an_instruction_that_moves_no_stack_and_calls_nothing(machine: Machine, form: str) -> None:
    made = scene(machine, form)
    trampoline = made.build()
    for instruction in Decoder(64, trampoline.code, ip=trampoline.address):
        assert not instruction.is_invalid
        assert not instruction.is_stack_instruction
        assert not instruction.is_call_near


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    form=st.sampled_from([form for form in forms.WORDS if "24" not in form or form in forms.SEEN_IN_EMULATORS]),
    num_args=st.integers(1, 64),
    index=st.one_of(st.integers(0, CLIENTS - 1), st.integers(0, (1 << 64) - 1)),
    target=st.sampled_from([CONTROL, CONTROL, CONTROL + 8, ELSEWHERE]),
    big_endian=st.booleans(),
    self_pointers=st.booleans(),
    flags_live=st.booleans(),
    seed=st.integers(0, 1 << 32),
)
def test_any_store_from_any_registers(
    machine: Machine,
    form: str,
    num_args: int,
    index: int,
    target: int,
    big_endian: bool,
    self_pointers: bool,
    flags_live: bool,
    seed: int,
) -> None:
    made = scene(
        machine,
        form,
        target,
        num_args=num_args,
        index=index,
        big_endian=big_endian,
        self_pointers=self_pointers,
        seed=seed,
    )
    if target == CONTROL:
        check_event(made, flags_live=flags_live)
    elif target == ELSEWHERE:
        check_stores_elsewhere(made, target, flags_live=flags_live)
    else:
        check_traps(made, flags_live=flags_live)


IP_RELATIVE = ("8905", "488905", "c70505000000", "648905", "65488905", "6764c70505000000")
"""The displacement follows a ModRM byte of 05 and precedes an immediate of four bytes."""
LOW, HIGH = 0x40_0000, 0x7F12_3456_0000
PLACES = st.builds(int.__add__, st.sampled_from([LOW, (1 << 32) - 0x8000, HIGH]), st.integers(0, 0xFFFF))


def ip_relative(form: str, displacement: int) -> bytes:
    code = bytes.fromhex(form)
    at = code.index(b"\x05") + 1
    return code[:at] + displacement.to_bytes(4, "little", signed=True) + code[at:]


def length_or_reason(store: Store, context: TrampolineContext, at: int, *, flags_live: bool) -> int | str | None:
    """None if there is no room for a trampoline in reach."""
    try:
        made = build(store, store.address, context, at, site=1, flags_live=flags_live, ordered=False)
    except NotAStore:
        return "not a store"
    except OutOfReach:
        # An address cut to 32 bits (prefix 67) can be far from the code that contains it.
        assert store.memory.ip_relative
        assert abs(store.memory.displacement - at) > (1 << 31) - 0x1000
        return None
    return len(made.code)


@settings(max_examples=300, deadline=None)
@given(
    code=st.one_of(
        st.sampled_from(forms.WORDS).map(bytes.fromhex),
        st.builds(ip_relative, st.sampled_from(IP_RELATIVE), st.integers(-0x8000, 0x8000)),
    ),
    places=st.tuples(PLACES, PLACES),
    controls=st.tuples(*[st.one_of(st.none(), PLACES)] * 2),
    big_endian=st.tuples(st.booleans(), st.booleans()),
    self_pointers=st.tuples(st.booleans(), st.booleans()),
    flags_live=st.tuples(st.booleans(), st.booleans()),
    distance=st.integers(-0x10_0000, 0x10_0000),
)
@example(
    code=ip_relative("6764c70505000000", 0),
    places=(LOW, HIGH),
    controls=(None, None),
    big_endian=(False, False),
    self_pointers=(True, True),
    flags_live=(False, False),
    distance=0,
)
def test_trampolines_of_one_form_are_equally_long(
    code: bytes,
    places: tuple[int, int],
    controls: tuple[int | None, int | None],
    big_endian: tuple[bool, bool],
    self_pointers: tuple[bool, bool],
    flags_live: tuple[bool, bool],
    distance: int,
) -> None:
    """Room for the next trampoline is reserved by the length of an earlier one, so the length must not depend on the
    address."""
    found: dict[Form, int | str] = {}
    ways = zip(places, controls, big_endian, self_pointers, flags_live, strict=True)
    for place, control, big, own, live in ways:
        store = decode_store(code, place, 64)
        target = store.memory.displacement if control is None else control
        context = TrampolineContext(target, HIGH + place, 64, 4, CLIENTS, HIGH, big, place + distance // 2, own, 0)
        length = length_or_reason(store, context, place + distance, flags_live=live)
        if length is not None:
            assert found.setdefault(Form.of(store, context, flags_live=live), length) == length


def test_an_ip_relative_store_with_a_segment_is_as_long_as_its_address() -> None:
    """This case cannot be decided from the bytes alone."""
    code = ip_relative("648905", 0x1000)
    low, high = (decode_store(code, place, 64) for place in (LOW, HIGH))
    context = TrampolineContext(HIGH, HIGH, 64, 4, CLIENTS, HIGH, False, LOW, True, 0)
    short = length_or_reason(low, context, LOW + 0x100, flags_live=True)
    long = length_or_reason(high, context._replace(runtime_address=HIGH), HIGH + 0x100, flags_live=True)
    assert short != long
    assert Form.of(low, context, flags_live=True) != Form.of(high, context, flags_live=True)


@dataclass(frozen=True)
class Asked:
    """One call of `build`."""

    code: bytes
    place: int
    control: int | None
    big_endian: bool
    self_pointers: bool
    flags_live: bool
    ordered: bool
    num_args: int
    distance: int
    number: int

    def made(self) -> Trampoline | str:
        store = decode_store(self.code, self.place, 64)
        control = store.memory.displacement if self.control is None else self.control
        stride = 64 * -(-self.num_args // 8)
        context = TrampolineContext(
            control, HIGH + self.place, stride, self.num_args, CLIENTS, HIGH, self.big_endian,
            self.place + self.distance // 2, self.self_pointers, 0,
        )  # fmt: skip
        at = self.place + self.distance
        flags_live, ordered = self.flags_live, self.ordered
        try:
            return build(store, self.place, context, at, site=self.number, flags_live=flags_live, ordered=ordered)
        except (NotAStore, OutOfReach) as error:
            return str(error)


@settings(max_examples=200, deadline=None)
@given(
    asked=st.lists(
        st.builds(
            Asked,
            code=st.one_of(
                st.sampled_from(forms.WORDS[:4]).map(bytes.fromhex),
                st.builds(ip_relative, st.sampled_from(IP_RELATIVE), st.integers(-0x10, 0x10)),
            ),
            place=PLACES,
            control=st.one_of(st.none(), PLACES),
            big_endian=st.booleans(),
            self_pointers=st.booleans(),
            flags_live=st.booleans(),
            ordered=st.booleans(),
            num_args=st.sampled_from((1, 4, 20)),
            distance=st.one_of(st.integers(-0x10_0000, 0x10_0000), st.sampled_from((-(1 << 32), 1 << 32))),
            number=st.integers(0, (1 << 32) - 1),
        ),
        min_size=2,
        max_size=6,
    )
)
def test_a_template_that_is_used_again_gives_the_same_code(asked: list[Asked]) -> None:
    """The result does not depend on the trampolines that were built before."""
    trampoline._templates.clear()
    again = [each.made() for each in asked]
    for each, made in zip(asked, again, strict=True):
        trampoline._templates.clear()
        assert each.made() == made


def test_sites_of_one_form_share_a_template() -> None:
    trampoline._templates.clear()
    code = bytes.fromhex(forms.WORDS[0])
    for number in range(100):
        asked = Asked(code, HIGH + 64 * number, HIGH, False, True, False, False, 4, 0x1000, number)
        made = asked.made()
        assert isinstance(made, Trampoline)
        assert number.to_bytes(4, "little") in made.code
    assert len(trampoline._templates) == 1


def test_a_guest_cannot_make_htrun_keep_any_number_of_templates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trampoline, "_MOST_TEMPLATES", 3)
    trampoline._templates.clear()
    made = [Asked(bytes.fromhex("c700") + n.to_bytes(4, "little"), HIGH, HIGH, False, True, False, False, 4, 64, n)
            for n in range(8)]  # fmt: skip
    assert len({each.made() for each in made}) == 8
    assert len(trampoline._templates) == 3
