"""Random programs for ``guests/property_interpreter.c``, and the file from which it reads them.

Hypothesis chooses and shrinks the structure (routines, operations, pieces of code, sites and the code after them); the
bits of one instruction come from a seed that it chooses.
"""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass, replace
from enum import IntEnum

from hypothesis import strategies as st

from tests.property.stores import Place, Source, StoreCode, random_store

FIXED_INDEXES = 64
LEVELS = 4
"""The same numbers as in the interpreter."""

_NONE = 0xFFFFFFFF
_PAGE = 4096
_FLAGS_FIXED_BEFORE = 0x10000
_CARRY, _ZERO_AND_PARITY = 0x1, 0x44
_ROOM = 48
"""The maximum size of a stub in bytes."""


class CodeKind(IntEnum):
    """The way in which a piece of code is mapped."""

    ANONYMOUS = 0
    PRIVATE_FILE = 1
    ALIAS = 2
    """Shared memory that is executable at one address and writable at another, as strict just-in-time compilers use
    it."""


class Op(IntEnum):
    """The operations of a routine; see the interpreter."""

    EMIT = 0
    RAISE = 1
    TIMED = 2
    JUMP = 3
    SPAWN = 4
    FORK = 5
    VFORK = 6
    REWRITE = 7
    RELINK = 8
    POKE = 9
    JOIN = 10
    REMAP = 11
    KILLED = 12


class Tail(IntEnum):
    """The code after a store: a pun borrows its first bytes, and it reads or overwrites the flags."""

    RETURN = 0
    RETURN_AND_POP = 1
    NOP1 = 2
    NOP3 = 3
    NOP4 = 4
    NOP7 = 5
    COMPARE = 6
    JUMP_OVER = 7
    BRANCH_OVER = 8
    RELINKED = 9
    END_OF_PAGE = 10


@dataclass(frozen=True)
class Operation:
    """One operation of a routine. The meaning of the fields depends on ``code``."""

    code: Op
    signal: int = 0
    a: int = 0
    count: int = 0
    pick: int = 0
    delay: int = 0
    repeat: int = 0

    def encode(self) -> bytes:
        """The encoding that the interpreter reads."""
        return struct.pack("<HHIIIII", self.code, self.signal, self.a, self.count, self.pick, self.delay, self.repeat)


@dataclass(frozen=True)
class Stub:
    """A site as hypothesis chooses it: the seed of its store, the code after it, and the number of free bytes before
    it."""

    seed: int
    tail: Tail
    gap: int


@dataclass(frozen=True)
class Blob:
    """A piece of code, with the variants that it is rewritten to. ``pages``: 1 or 2; ``at_end``: whether the stubs are
    at the end of the code."""

    kind: CodeKind
    pages: int
    at_end: bool
    variants: tuple[tuple[Stub, ...], ...]


@dataclass(frozen=True)
class Program:
    """``isolated``: run in a process of its own, which has never had an event. ``home``: where the control word is."""

    isolated: bool
    home: int
    blobs: tuple[Blob, ...]
    routines: tuple[tuple[Operation, ...], ...]

    def encode(self) -> bytes:
        """The encoding that the interpreter reads."""
        gs_base = self.home - 0x1234_5678
        blobs = [
            _blob(blob, self.home + _BLOB_STRIDE * (number + 1), self.home, gs_base)
            for number, blob in enumerate(self.blobs)
        ]
        routines = [
            struct.pack("<Q", len(routine)) + _padded(b"".join(op.encode() for op in routine))
            for routine in self.routines
        ]
        return b"".join(
            [
                struct.pack("<QQQQ", self.isolated, self.home, gs_base, len(blobs)),
                *blobs,
                struct.pack("<Q", len(routines)),
                *routines,
            ]
        )


def for_emulator(program: Program) -> Program:
    """The same programs without operations at which QEMU 7.2's user mode fails, with and without htrun. QEMU does not
    notice changes of code through an alias. Its guest may crash when a timer's signal arrives in generated code. A
    child of a process with threads may fail an assertion when it creates threads."""
    ops = {op.code for routine in program.routines for op in routine}
    unsafe = {Op.TIMED, Op.JUMP, Op.POKE} | ({Op.FORK, Op.VFORK, Op.KILLED} if Op.SPAWN in ops else set())
    blobs = tuple(
        replace(blob, kind=CodeKind.ANONYMOUS) if blob.kind is CodeKind.ALIAS else blob for blob in program.blobs
    )
    routines = tuple(
        tuple(Operation(Op.EMIT, count=20, pick=op.pick) if op.code in unsafe else op for op in routine)
        for routine in program.routines
    )
    return replace(program, blobs=blobs, routines=routines)


def encode(programs: list[Program]) -> bytes:
    """The script of ``programs``."""
    homes = [struct.pack("<QQ", home - _HOME_BEFORE, _HOME_SIZE) for home in HOMES]
    encoded = [program.encode() for program in programs]
    return b"".join([struct.pack("<Q", len(homes)), *homes, struct.pack("<Q", len(programs)), *encoded])


HOMES = (0x6001_0000, 0x2_0001_0000, 0x2000_0001_0000, 0x7000_0001_0000)
"""Addresses of the control word: below 4 GiB, but above the heap of a program that is linked to a fixed address (the
kernel places the heap up to 1 GiB away); above 4 GiB; and at the highest possible addresses."""
_HOME_BEFORE = 0x1_0000
_BLOB_STRIDE = 0x100_0000
_HOME_SIZE = 5 * _BLOB_STRIDE


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)


def _blob(blob: Blob, address: int, control: int, gs_base: int) -> bytes:
    size = blob.pages * _PAGE
    parts = [struct.pack("<QQQQ", address, size, blob.kind, len(blob.variants))]
    for stubs in blob.variants:
        code, sites = _Assembler(blob, address, control, gs_base, size).assemble(stubs)
        parts += [bytes(code), struct.pack("<Q", len(sites)), *sites]
    return b"".join(parts)


class _Assembler:
    """Lays stubs out in a piece of code."""

    def __init__(self, blob: Blob, address: int, control: int, gs_base: int, size: int) -> None:
        self._blob = blob
        self._address = address
        self._control = control
        self._gs_base = gs_base
        self._code = bytearray(b"\xcc" * size)
        self._sites: list[bytes] = []

    def assemble(self, stubs: tuple[Stub, ...]) -> tuple[bytearray, list[bytes]]:
        """The code and its encoded sites. Stubs are around the middle (a page boundary if there are two pages), or at
        the end."""
        size = len(self._code)
        middle = size if self._blob.at_end else size // 2 + _ROOM * len(stubs) // 2
        at = middle - _ROOM * len(stubs)
        for number, stub in enumerate(stubs):
            last = number == len(stubs) - 1
            at = self._place(stub, at + stub.gap, flush=last and self._blob.at_end)
        return self._code, self._sites

    def _place(self, stub: Stub, at: int, *, flush: bool) -> int:
        rng = random.Random(stub.seed)
        store = self._store(rng, at)
        if flush:
            # An address relative to the program counter depends on the position, so the final one is passed.
            tail, relink, flags_after = _tail(Tail.RETURN, rng, 0)
            while True:
                at = len(self._code) - len(store.code) - len(tail)
                again = self._store(random.Random(stub.seed), at)
                if len(again.code) == len(store.code):
                    store = again
                    break
                store = again
        else:
            tail, relink, flags_after = _tail(stub.tail, rng, at + len(store.code))
        end = at + len(store.code) + len(tail)
        self._code[at:end] = store.code + tail
        self._sites.append(_site(store, at, end, relink, flags_after))
        return end

    def _store(self, rng: random.Random, at: int) -> StoreCode:
        return random_store(rng, Place(self._address + at, self._control, self._gs_base), FIXED_INDEXES)


def _tail(tail: Tail, rng: random.Random, at: int) -> tuple[bytes, tuple[int, int, int], int]:
    """Code after a store that ends at offset ``at``; the displacement that is rewritten (offset, values); flags."""
    nothing = 0, 0, 0
    match tail:
        case Tail.RETURN_AND_POP:
            return b"\xc2\0\0", nothing, _NONE
        case Tail.NOP1:
            return b"\x90" * rng.randint(1, 4) + b"\xc3", nothing, _NONE
        case Tail.NOP3:
            return b"\x0f\x1f\x00" + b"\xc3" + rng.randbytes(3), nothing, _NONE
        case Tail.NOP4:
            return b"\x0f\x1f\x40" + rng.randbytes(1) + b"\xc3", nothing, _NONE
        case Tail.NOP7:
            return b"\x0f\x1f\x80" + rng.randbytes(4) + b"\xc3", nothing, _NONE
        case Tail.COMPARE:
            return b"\x48\x39\xe4\xc3", nothing, _ZERO_AND_PARITY
        case Tail.JUMP_OVER:
            over = rng.randint(0, 5)
            return bytes([0xEB, over]) + rng.randbytes(over) + b"\xc3", nothing, _NONE
        case Tail.BRANCH_OVER:
            # jc, which is taken because carry is set before the store. If it were not taken, ud2 would follow.
            return b"\x72\x02\x0f\x0b\xc3", nothing, _FLAGS_FIXED_BEFORE | _CARRY
        case Tail.RELINKED:
            nops = b"\x90" * (-(at + 1) % 4)
            start = at + len(nops) + 1
            return nops + b"\xe9" + struct.pack("<i", 0) + b"\xc3\x90\xc3", (start, 0, 2), _NONE
        case _:
            return b"\xc3", nothing, _NONE


def _site(store: StoreCode, at: int, end: int, relink: tuple[int, int, int], flags_after: int) -> bytes:
    sources, values = [Source.SENTINEL] * 16, [0x1111_1111_1111_1111 * number for number in range(16)]
    for number, (source, value) in store.registers.items():
        sources[number], values[number] = source, value
    xmm, lane, size = store.vector or (255, 0, 0)
    return struct.pack(
        "<IIIIIIiiIBBBx16B16Q",
        at,
        len(store.code),
        end,
        _NONE if store.fixed_index is None else store.fixed_index,
        store.absolute,
        *relink,
        flags_after,
        xmm,
        lane,
        size,
        *sources,
        *values,
    )


# The strategies of hypothesis.

_seeds = st.integers(0, (1 << 32) - 1)
_stubs = st.builds(Stub, _seeds, st.sampled_from(list(Tail)), st.integers(0, 7))
_variants = st.lists(_stubs, min_size=1, max_size=8).map(tuple)


@st.composite
def blobs(draw: st.DrawFn) -> Blob:
    """A piece of code."""
    kind = draw(st.sampled_from(list(CodeKind)))
    pages = draw(st.integers(1, 2))
    at_end = draw(st.booleans())
    return Blob(kind, pages, at_end, tuple(draw(st.lists(_variants, min_size=1, max_size=3))))


_COUNTS = st.one_of(st.integers(1, 20), st.integers(1, 300), st.sampled_from((1500, 3000)))


@st.composite
def _operations(draw: st.DrawFn, routine: int, routines: int, blob_count: int) -> Operation:
    plain = [Op.EMIT] * 4 + [Op.RAISE, Op.RAISE, Op.TIMED, Op.JUMP, Op.REWRITE, Op.RELINK, Op.VFORK, Op.REMAP]
    creating = [Op.SPAWN] * 4 + [Op.FORK, Op.FORK, Op.POKE, Op.JOIN, Op.KILLED] if routine < routines - 1 else []
    code = draw(st.sampled_from(plain + creating))
    a = draw(st.integers(0, blob_count - 1))
    pick = draw(st.integers(0, 7))
    match code:
        case Op.EMIT:
            return Operation(code, a=a, pick=pick, count=draw(_COUNTS))
        case Op.RAISE:
            return Operation(code, signal=draw(st.sampled_from((0, 2))))
        case Op.TIMED | Op.JUMP:
            signal = 1 if code is Op.JUMP else draw(st.sampled_from((0, 2)))
            delay = draw(st.integers(1, 400)) * 1000
            repeat = draw(st.integers(0, 4))
            return Operation(code, signal, a, draw(st.integers(1, 2000)), pick, delay, repeat)
        case Op.SPAWN | Op.FORK:
            return Operation(code, a=draw(st.integers(routine + 1, routines - 1)))
        case Op.VFORK | Op.KILLED:
            return Operation(code, a=a, pick=pick, count=draw(st.integers(1, 30)))
        case Op.REWRITE:
            return Operation(code, a=a, pick=pick, count=draw(st.integers(0, 3)))
        case Op.RELINK:
            return Operation(code, a=a, count=draw(st.integers(1, 200)))
        case Op.POKE:
            return Operation(code, signal=draw(st.sampled_from((0, 1, 2))), count=draw(st.integers(1, 5)))
        case _:
            return Operation(code, pick=pick)


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """A program: up to three routines, each of which may start the following ones."""
    blob_list = draw(st.lists(blobs(), min_size=1, max_size=3))
    count = draw(st.integers(1, 3))
    routines = tuple(
        tuple(draw(st.lists(_operations(number, count, len(blob_list)), min_size=1, max_size=7)))
        for number in range(count)
    )
    return Program(draw(st.booleans()), draw(st.sampled_from(HOMES)), tuple(blob_list), routines)
