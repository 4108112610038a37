"""The made-up machine as a host: a minimal implementation of `htrun.hosts.host.Host`. Its trampolines cannot begin the
next packet: if a packet is full, they execute the original store, which traps.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from htrun.events.clock import Clock, ClockSource, MonotonicSource
from htrun.hosts import host
from htrun.hosts.calls import Abi, Limit, UserWords
from htrun.hosts.host import NotAStore, OutOfReach, Read, TrampolineContext, Write
from htrun.rings import layout as ring
from tests.unit.hosts.fake.instructions import (
    FURTHEST_JUMP,
    STACK_POINTER,
    WORD,
    Instruction,
    Operation,
    constant,
    jump,
)

_SCRATCH = (10, 11, 12, 13)
"""The registers that trampolines save to the 32 bytes below the stack pointer."""


class Registers(host.Registers):
    """The values of all registers."""

    _fields_: ClassVar[list[tuple[str, type[ctypes.c_uint64]]]] = [
        (name, ctypes.c_uint64) for name in (*(f"r{number}" for number in range(16)), "pc", "thread_pointer", "call")
    ]

    @property
    def bits(self) -> int:
        """Always 64."""
        return 64

    @property
    def single_steps(self) -> bool:
        """Raise an exception: the machine has no other interface."""
        return False

    def skip_call(self) -> None:
        """Mark the thread as not being in a call."""
        self.call_number = (1 << 64) - 1


for _role, _name in (("sp", f"r{STACK_POINTER}"), ("result", "r0"), ("call_number", "call")):
    setattr(Registers, _role, getattr(Registers, _name))

_CALLS = ("open", "close", "mmap", "munmap", "madvise", "membarrier")
ABI = Abi(
    bits=64,
    audit_arch=0,
    instruction=Instruction(Operation.CALL).encode(),
    arguments=tuple(f"r{number}" for number in range(1, 7)),
    argument_words=tuple(8 * number for number in range(1, 7)),
    numbers={name: 1000 + number for number, name in enumerate(_CALLS)},
    nowhere=1 << 47,
    frame_masks={},
)


@dataclass(frozen=True, slots=True)
class Store:
    """One of its two stores. Members: see `htrun.hosts.host.Store`."""

    address: int
    code: bytes
    instruction: Instruction

    length = WORD
    bits = 64
    near: tuple[int, ...] = ()
    register_set: int | None = None

    @property
    def text(self) -> str:
        """The instruction as text."""
        return str(self.instruction)

    @property
    def size(self) -> int:
        """Bytes."""
        return 8 if self.instruction.operation is Operation.STORE else 4

    @property
    def effective_address(self) -> Callable[[host.Registers], int]:
        """The address to which it writes."""
        return lambda registers: int(getattr(registers, f"r{self.instruction.b}")) + self.instruction.number

    @property
    def value(self) -> Callable[[host.Registers], int]:
        """The value that it writes."""
        return lambda registers: int(getattr(registers, f"r{self.instruction.a}")) & ((1 << 8 * self.size) - 1)

    def value_in(self, registers: bytes) -> int:
        """None: the machine has only general registers."""
        raise NotImplementedError

    @property
    def plain_value(self) -> str | int | None:
        """The register."""
        return f"r{self.instruction.a}"


@dataclass(frozen=True, slots=True)
class Trampoline:
    """Members: see `htrun.hosts.host.Trampoline`. ``prepared``: from there on the scratch registers are saved."""

    address: int
    code: bytes
    prepared: int
    leave: int
    undo: int
    original: int

    @property
    def ways_back(self) -> int:
        """There are no ways back, because there is no runtime stub."""
        return len(self.code)

    def __contains__(self, address: int) -> bool:
        """Whether a program counter is in the trampoline."""
        return 0 <= address - self.address < len(self.code)

    def is_before_commit(self, offset: int) -> bool:
        """Whether the event has not been emitted."""
        return not self.leave <= offset < self.undo


@dataclass(frozen=True, slots=True)
class Candidate:
    """The only possible jump."""

    site: int
    low: int
    high: int
    borrowed: bytes = b""
    is_pun: bool = False

    def code_for(self, entry: int) -> bytes:
        """The jump."""
        return jump(self.site, entry)


@dataclass(frozen=True, slots=True)
class Plan:
    """Members: see `htrun.hosts.host.Plan`."""

    candidates: tuple[Candidate, ...]
    reason: str | None = None


class FakeHost:
    """Members: see `htrun.hosts.host.Host`."""

    native = compat = ABI
    no_number_above = 2000
    words = UserWords(
        result=0,
        call_number=8 * 18,
        pc=8 * 16,
        mode=0,
        flags=0,
        sp=8 * STACK_POINTER,
        thread_pointer=8 * 17,
    )
    impossible_flags = 0
    machine = 0xFA4E
    client_clock = 0
    counter = "monotonic"
    longest_instruction = WORD
    reach = FURTHEST_JUMP - (1 << 20)
    halt = Instruction(Operation.HALT).encode()
    halt_code = 77

    def interface(self, bits: int) -> Abi:
        """The only interface."""
        return ABI

    def call_name(self, audit_arch: int, number: int) -> tuple[Abi, str | None]:
        """The interface with this number."""
        return ABI, next((name for name, known in ABI.numbers.items() if known == number), None)

    def bits_in(self, mode: int) -> int:
        """Always 64."""
        return 64

    def limit_of(self, process: int, bits: int, number: int, arguments: Sequence[int], read: Read) -> Limit | None:
        """None: no call has a time limit."""
        return None

    def registers(self) -> host.Registers:
        """All zeros."""
        return Registers()

    def best_clock(self) -> Clock:
        """The value of the machine on which the tests run."""
        return Clock(MonotonicSource())

    def counter_source(self) -> ClockSource:
        """The value of the machine on which the tests run."""
        return MonotonicSource()

    def counter_reading(self) -> None:
        """None: programs of this machine can find out whether they run natively."""

    def prepare(self, num_args: int) -> Iterator[None]:
        """Do nothing: there is nothing to load."""
        return iter(())

    def decode_store(self, code: bytes, address: int, bits: int) -> Store:
        """Raises `NotAStore`."""
        try:
            instruction = Instruction.decode(code)
        except ValueError:
            raise NotAStore("not an instruction") from None
        if instruction.operation not in (Operation.STORE, Operation.STORE_HALF):
            raise NotAStore(f"{instruction} stores nothing")
        return Store(address, code[:WORD], instruction)

    def ignore_store(self, code: bytes, registers: host.Registers, fault: int, end: int, read: Read) -> str:
        """Move the program counter after the instruction."""
        text = self.decode_store(code, registers.pc, 64).text
        registers.pc += WORD
        return text

    def flags_live(self, code: bytes, address: int, behind: int, *, generated: bool, translated: bool) -> bool:
        """The machine has no flags."""
        return False

    def plan(self, code: bytes, site: int, length: int, *, generated: bool) -> Plan:
        """A jump has the same length as a store."""
        return Plan((Candidate(site, site + WORD - FURTHEST_JUMP, site + FURTHEST_JUMP),))

    def steps(self, site: int, old: bytes, new: bytes) -> tuple[Write, ...]:
        """The writes of a patch, as if a word could not be written atomically."""
        return (Write(site, self.halt), Write(site, new))

    def form(self, store: host.Store, context: TrampolineContext, *, flags_live: bool) -> Hashable:
        """All trampolines have the same length."""
        return store.code

    def build(
        self, store: host.Store, context: TrampolineContext, at: int, *, site: int, flags_live: bool, ordered: bool
    ) -> Trampoline:
        """Raises `NotAStore` and `OutOfReach`."""
        assert isinstance(store, Store)
        return build(store, context, at, site)

    def build_runtime(self, at: int) -> bytes:
        """Raise an exception: no jump leads to a runtime stub."""
        return self.halt

    def restore(self, trampoline: host.Trampoline, offset: int, registers: host.Registers, read: Read) -> None:
        """Restore the scratch registers."""
        assert isinstance(trampoline, Trampoline)
        if offset >= trampoline.prepared:
            for place, number in enumerate(_SCRATCH, 1):
                saved = int.from_bytes(read(registers.sp - 8 * place, 8), "little")
                setattr(registers, f"r{number}", saved)

    def callers(self, registers: host.Registers, read: Read) -> Iterator[int]:
        """There is no runtime stub."""
        return iter(())

    def restore_in_runtime(self, offset: int, registers: host.Registers, read: Read) -> None:
        """Nobody is in the stub."""
        raise NotImplementedError

    def runtime_lost(self, offset: int, way: int) -> bool:
        """Nobody is in the stub."""
        raise NotImplementedError


_HOST: host.Host = FakeHost()
"""The annotation makes mypy check the type."""


class _Code:
    """Instructions, and the labels to which they jump."""

    def __init__(self) -> None:
        self.words: list[Instruction] = []
        self.places: dict[str, int] = {}
        self._open: list[tuple[int, str]] = []

    @property
    def offset(self) -> int:
        """The number of bytes so far."""
        return WORD * len(self.words)

    def add(self, operation: Operation, a: int = 0, b: int = 0, number: int = 0) -> None:
        """One instruction."""
        self.words.append(Instruction(operation, a, b, number))

    def jump_if(self, operation: Operation, a: int, b: int, place: str) -> None:
        """A conditional jump to ``place``."""
        self._open.append((len(self.words), place))
        self.add(operation, a, b)

    def place(self, name: str) -> None:
        """The next instruction is at ``name``."""
        self.places[name] = self.offset

    def encode(self) -> bytes:
        """The machine code."""
        for at, place in self._open:
            self.words[at] = self.words[at]._replace(number=self.places[place] // WORD - at - 1)
        return b"".join(word.encode() for word in self.words)


def build(store: Store, context: TrampolineContext, at: int, site: int) -> Trampoline:
    """The trampoline at ``at``."""
    if store.size != 8:
        raise NotAStore(f"{store.text} can't be done by a trampoline")
    value, base, displacement = store.instruction.a, store.instruction.b, store.instruction.number
    r10, r11, r12, r13 = _SCRATCH
    code = _Code()
    for place, number in enumerate(_SCRATCH, 1):
        code.add(Operation.STORE, number, STACK_POINTER, -8 * place)
    code.place("prepared")
    code.add(Operation.MOVE, r10, base)
    code.add(Operation.ADD_NUMBER, r10, number=displacement)
    code.words += constant(r11, context.control_address)
    code.jump_if(Operation.JUMP_IF_DIFFERENT, r10, r11, "undo")
    code.words += constant(r11, context.max_clients)
    code.jump_if(Operation.JUMP_IF_NOT_BELOW, value, r11, "undo")
    code.add(Operation.THREAD_POINTER, r10)
    if context.self_pointers:
        code.add(Operation.LOAD, r10, r10)
    code.words += constant(r11, context.table_address + context.likely_entry)
    code.add(Operation.LOAD, r12, r11)
    code.jump_if(Operation.JUMP_IF_DIFFERENT, r12, r10, "undo")
    code.add(Operation.LOAD, r11, r11, 8)
    code.add(Operation.LOAD, r12, r11, ring.POSITION)
    code.add(Operation.LOAD, r13, r11, ring.PACKET_END)
    code.jump_if(Operation.JUMP_IF_NOT_BELOW, r12, r13, "undo")
    code.add(Operation.COUNTER, r13)
    code.add(Operation.STORE, r13, r12)
    code.words += constant(r13, site)
    code.add(Operation.STORE_HALF, r13, r12, ring.RECORD_SITE)
    code.add(Operation.STORE_HALF, value, r12, ring.RECORD_INDEX)
    code.add(Operation.MOVE, r10, value)
    code.add(Operation.SHIFT, r10, number=context.slot_stride.bit_length() - 1)
    code.words += constant(r13, context.data_address)
    code.add(Operation.ADD, r10, r13)
    for argument in range(context.num_args):
        code.add(Operation.LOAD, r13, r10, 8 * argument)
        code.add(Operation.STORE, r13, r12, ring.RECORD_HEADER + 8 * argument)
    code.add(Operation.ADD_NUMBER, r12, number=ring.RECORD_HEADER + 8 * context.num_args)
    code.add(Operation.STORE, r12, r11, ring.POSITION)
    code.place("leave")
    _restore(code)
    _jump_back(code, store, at)
    code.place("undo")
    _restore(code)
    code.place("original")
    code.words.append(store.instruction)
    _jump_back(code, store, at)
    places = code.places
    return Trampoline(at, code.encode(), places["prepared"], places["leave"], places["undo"], places["original"])


def _restore(code: _Code) -> None:
    for place, number in enumerate(_SCRATCH, 1):
        code.add(Operation.LOAD, number, STACK_POINTER, -8 * place)


def _jump_back(code: _Code, store: Store, at: int) -> None:
    try:
        code.words.append(Instruction.decode(jump(at + code.offset, store.address + WORD)))
    except ValueError as error:
        raise OutOfReach(str(error)) from None
