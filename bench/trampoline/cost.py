"""Measures a trampoline and the floor in this process, without a tracer, a reader or a second processor.

    python bench/trampoline/cost.py [--args N] [--repeats N] [--cpu N]

The floor is a loop that executes ``rdtsc`` and writes a record of the same size to the same memory. The event is a loop
that stores its arguments and executes a patched site, ``mov %ebx,(%r12)``. Rounds are short, and each round measures
both, so that other load on the machine affects both equally.
"""

from __future__ import annotations

import argparse
import ctypes
import mmap
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from iced_x86 import Code, Instruction, Register

from htrun.hosts.host import TrampolineContext
from htrun.hosts.x86_64 import instructions as asm
from htrun.hosts.x86_64.store import decode_store
from htrun.hosts.x86_64.templates import Place, Template
from htrun.hosts.x86_64.trampoline import build, build_runtime
from htrun.rings import layout as ring

EVENTS = 100_000
PACKETS, PACKET_STRIDE = 4, 64 * 1024
CODE, TRAMPOLINE, RUNTIME, TABLE = 0, 0x1000, 0x2000, 0x1_0000
RING = TABLE + ring.TABLE_SIZE
AREA = RING + ring.PAGE + PACKETS * PACKET_STRIDE
STORE = bytes.fromhex("41891c24")  # mov %ebx,(%r12)
RESTORED = (Register.RBX, Register.RBP, Register.R12, Register.R13, Register.R14, Register.R15)


@dataclass(frozen=True)
class Area:
    """Executable memory with a ring and a table, and a data slot that is mapped twice: once as in a guest, and once as
    in htrun."""

    memory: mmap.mmap
    base: int
    guest_slot: int
    own_slot: int


def area() -> Area:
    """A new area, which is never freed."""
    access = mmap.PROT_READ | mmap.PROT_WRITE
    memory = mmap.mmap(-1, AREA, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=access | mmap.PROT_EXEC)
    descriptor = os.memfd_create("slot")
    os.ftruncate(descriptor, mmap.PAGESIZE)
    views = [mmap.mmap(descriptor, mmap.PAGESIZE, prot=access) for _ in range(2)]
    _KEPT.extend(views)
    return Area(memory, address(memory), address(views[0]), address(views[1]))


_KEPT: list[object] = []


def address(memory: mmap.mmap) -> int:
    """The address at which ``memory`` is mapped."""
    pin = ctypes.c_char.from_buffer(memory)
    _KEPT.append(pin)
    return ctypes.addressof(pin)


def routine(where: Area, *body: object) -> Callable[[], None]:
    """A C function that executes the machine code ``body``."""
    pushes = b"".join(asm.encode(Instruction.create_reg(Code.PUSH_R64, register)) for register in RESTORED)
    pops = b"".join(asm.encode(Instruction.create_reg(Code.POP_R64, register)) for register in reversed(RESTORED))
    names = {"ring": where.base + RING, "slot": where.guest_slot, "trampoline": where.base + TRAMPOLINE}
    code = Template.of(pushes, *body, pops, b"\xc3").link(where.base + CODE, names).code  # type: ignore[arg-type]
    where.memory[CODE : CODE + len(code)] = code
    return ctypes.CFUNCTYPE(None)(where.base + CODE)


def loop(*body: object) -> tuple[object, ...]:
    """A loop that executes ``body`` `EVENTS` times. R14 is the counter."""
    return (
        asm.immediate(Register.R14, EVENTS),
        Place("loop"),
        *body,
        asm.add_immediate(Register.R14, -1),
        asm.jump_if(asm.JNE, "loop"),
    )


def set_arguments(count: int) -> list[bytes]:
    """The code that stores R14 to each of ``count`` arguments of the slot at R13."""
    return [asm.store(Register.R13, 8 * number, Register.R14) for number in range(count)]


def floor(where: Area, shape: ring.RingShape) -> Callable[[], None]:
    """The floor: ``rdtsc`` and a record in the same ring. At the end of the ring, it continues at the start."""
    record = Register.R12
    size = shape.packet_payload * shape.packets
    return routine(
        where,
        asm.constant(Register.R15, "ring"),
        asm.lea(Register.RBX, asm.memory(Register.R15, ring.PAGE + size)),
        asm.lea(record, asm.memory(Register.R15, ring.PAGE)),
        *loop(
            asm.RDTSC,
            asm.store32(record, 0, Register.RAX),
            asm.store32(record, 4, Register.RDX),
            *(asm.store(record, offset, Register.R14) for offset in range(8, shape.record_size, 8)),
            asm.add_immediate(record, shape.record_size),
            asm.compare(record, Register.RBX),
            asm.jump_if(asm.JAE, "over"),
            Place("next"),
        ),
        asm.jump("end"),
        Place("over"),
        asm.lea(record, asm.memory(Register.R15, ring.PAGE)),
        asm.jump("next"),
        Place("end"),
    )


def event(
    where: Area, shape: ring.RingShape, *, flags_live: bool, ordered: bool, own_mapping: bool, self_pointers: bool
) -> Callable[[], None]:
    """The event: the patched site, preceded by the stores of the arguments."""
    context = TrampolineContext(
        control_address=0x7FFF_0000_0000,
        data_address=where.own_slot if own_mapping else where.guest_slot,
        slot_stride=64 * -(-shape.num_args // 8),
        num_args=shape.num_args,
        max_clients=8,
        table_address=where.base + TABLE,
        guest_big_endian=False,
        runtime_address=where.base + RUNTIME,
        self_pointers=self_pointers,
        likely_entry=ring.table_offsets(thread_pointer(where))[0],
    )
    prepare_ring(where, shape)
    body = (
        asm.immediate(Register.R12, context.control_address),
        asm.immediate(Register.RBX, 0),
        asm.constant(Register.R13, "slot"),
        *loop(*set_arguments(shape.num_args), Place("site"), asm.jump("trampoline")),
    )
    function = routine(where, *body)
    site = bytes(where.memory[:0x400]).index(b"\xe9")
    store = decode_store(STORE + b"\x90", where.base + site, 64)
    at = where.base + TRAMPOLINE
    trampoline = build(store, store.address + 1, context, at, site=0, flags_live=flags_live, ordered=ordered)
    where.memory[TRAMPOLINE : TRAMPOLINE + len(trampoline.code)] = trampoline.code
    runtime = build_runtime(where.base + RUNTIME)
    where.memory[RUNTIME : RUNTIME + len(runtime)] = runtime
    return function


def prepare_ring(where: Area, shape: ring.RingShape) -> None:
    """Set up a ring for this thread. The ring is never full."""
    packets = where.base + RING + ring.PAGE
    first = packets + ring.PACKET_HEADER
    values = {
        ring.POSITION: first,
        ring.PACKET_END: first + shape.packet_payload,
        ring.PACKET_NUMBER: 0,
        ring.PACKETS: packets,
        ring.PACKET_MASK: shape.packets - 1,
        ring.PACKET_STRIDE: shape.packet_stride,
        ring.PACKET_PAYLOAD: shape.packet_payload,
        ring.RELEASED: 1 << 62,
    }
    for offset, value in values.items():
        put(where, RING + offset, value)
    thread = thread_pointer(where)
    first_place, _ = ring.table_offsets(thread)
    put(where, TABLE + first_place, thread)
    put(where, TABLE + first_place + 8, where.base + RING)


def thread_pointer(where: Area) -> int:
    """The thread pointer of this thread, from which trampolines find the ring."""
    code = asm.thread_pointer("fs", Register.RAX) + b"\xc3"
    where.memory[CODE : CODE + len(code)] = code
    return int(ctypes.CFUNCTYPE(ctypes.c_uint64)(where.base + CODE)())


def put(where: Area, offset: int, value: int) -> None:
    """Write a 64-bit word at ``offset`` bytes from the start of the area."""
    where.memory[offset : offset + 8] = value.to_bytes(8, "little")


def nanoseconds(function: Callable[[], None]) -> float:
    """The time in ns of each of the `EVENTS` events of ``function``."""
    start = time.perf_counter_ns()
    function()
    return (time.perf_counter_ns() - start) / EVENTS


def main() -> None:
    """Measure all kinds of events alternately, and print the cost of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--args", type=int, default=4, help="arguments of an event, 1 to 64")
    parser.add_argument("--repeats", type=int, default=99, help="rounds; each runs every way once")
    parser.add_argument("--cpu", type=int, default=min(os.sched_getaffinity(0)), help="the processor to run on")
    options = parser.parse_args()
    os.sched_setaffinity(0, {options.cpu})
    shape = ring.RingShape(options.args, PACKETS, PACKET_STRIDE)

    def variant(
        *, flags_live: bool = False, ordered: bool = False, own_mapping: bool = True, self_pointers: bool = True
    ) -> Callable[[], None]:
        return event(
            area(),
            shape,
            flags_live=flags_live,
            ordered=ordered,
            own_mapping=own_mapping,
            self_pointers=self_pointers,
        )

    ways = {
        "floor": floor(area(), shape),
        "event": variant(),
        "event, guest's own mapping": variant(own_mapping=False),
        "event, flags live": variant(flags_live=True),
        "event, rdfsbase": variant(self_pointers=False),
        "event, ordered": variant(ordered=True),
    }
    runs: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.repeats):
        for name, function in ways.items():
            runs[name].append(nanoseconds(function))
    for name, times in runs.items():
        ratio = statistics.median(mine / floors for mine, floors in zip(times, runs["floor"], strict=True))
        median, best = statistics.median(times), min(times)
        print(f"{name:30} median {median:6.2f} ns  best {best:6.2f} ns  {ratio:5.2f} of the floor of its round")


if __name__ == "__main__":
    main()
