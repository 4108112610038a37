"""Makes calls that affect the channel's mappings, one piece at a time, so that the header and the control region are
always protected.

If they were unprotected for a moment, stores by other threads would be lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from htrun.hosts.calls import Abi
from htrun.intercept.guest import Mapping
from htrun.intercept.stopped_call import StoppedCall
from htrun.tracee import seccomp
from htrun.tracee.inject import Injection
from htrun.tracee.memory import Memory

PAGE = 4096
PROT_NONE, PROT_READ, PROT_WRITE = 0, 1, 2


class Mmap(NamedTuple):
    """The arguments of an mmap. ``length`` and ``offset`` are in bytes."""

    start: int
    length: int
    protection: int
    flags: int
    descriptor: int
    offset: int

    @classmethod
    def of(cls, call: StoppedCall, memory: Memory) -> Mmap:
        """The arguments of ``call``. Raises OSError if they can't be read."""
        if call.name == "old_mmap":
            # The i386 call of 1991 has one argument: the address of a structure with all six (mm/mmap.c, struct
            # mmap_arg_struct).
            block = memory.read_whole(call.argument(0), 24)
            return cls(*(int.from_bytes(block[at : at + 4], "little") for at in range(0, 24, 4)))
        start, length, protection, flags, descriptor, offset = (call.argument(index) for index in range(6))
        return cls(start, length, protection, flags, descriptor & 0xFFFFFFFF, offset * offset_unit(call.abi))

    @property
    def is_fixed(self) -> bool:
        """Whether the call replaces existing mappings at its address. The kernel may still refuse the call."""
        return bool(self.flags & seccomp.MAP_FIXED) and self.start % PAGE == self.offset % PAGE == 0

    @property
    def is_shared_file(self) -> bool:
        """Whether the call makes a shared mapping of a file."""
        return bool(self.flags & seccomp.MAP_SHARED and not self.flags & seccomp.MAP_ANONYMOUS)

    @property
    def mapping(self) -> Mapping:
        """The mapping of the channel that results if the call gets the address that it asks for."""
        return Mapping(self.start, whole_pages(self.length), self.offset)

    @property
    def end(self) -> int:
        """The first address after the range that the call asks for."""
        return self.mapping.end


class Piece(NamedTuple):
    """A range ``[start, end)`` and the protection that it must have; None if the guest may choose the protection."""

    start: int
    end: int
    protection: int | None


def cut(mappings: Iterable[Mapping], start: int, end: int, *, machine: bool) -> list[Piece]:
    """``[start, end)``, cut at the start and the end of each protected region of ``mappings``.

    Pieces for which the guest may choose the protection come first, because the guest's call may fail at these.
    ``machine``: see `control_protection`.
    """
    control = control_protection(machine=machine)
    regions = []
    for mapping in mappings:
        regions += [(*mapping.header, PROT_READ), (*mapping.control, control)]
    ours, others, at = [], [], start
    for low, high, protection in sorted((max(low, start), min(high, end), kind) for low, high, kind in regions):
        if low < high:
            others.append(Piece(at, low, None))
            ours.append(Piece(low, high, protection))
            at = high
    others.append(Piece(at, end, None))
    return [piece for piece in (*others, *ours) if piece.start < piece.end]


def control_protection(*, machine: bool) -> int:
    """The protection of a control region. ``machine``: whether the guest is a whole machine. The region is readable
    then, because the machine's emulator would crash on a load that faults."""
    return PROT_READ if machine else PROT_NONE


def map_pieces(injection: Injection, abi: Abi, asked: Mmap, pieces: Sequence[Piece]) -> int:
    """Map the channel in place of existing mappings. Returns the address. Raises OSError with the errno of the call."""
    for piece in pieces:
        protection = asked.protection if piece.protection is None else piece.protection
        offset = (asked.offset + piece.start - asked.start) // offset_unit(abi)
        length = piece.end - piece.start
        injection.call("mmap", piece.start, length, protection, asked.flags, asked.descriptor, offset)
    return asked.start


def protect_pieces(injection: Injection, call: StoppedCall, pieces: Sequence[Piece]) -> int:
    """Make an mprotect or pkey_mprotect. Returns 0. Raises OSError with the errno of the call."""
    for piece in pieces:
        protection = call.argument(2) if piece.protection is None else piece.protection
        injection.call(call.name, piece.start, piece.end - piece.start, protection, call.argument(3))
    return 0


def words_of(mappings: Iterable[Mapping], start: int, end: int) -> frozenset[int]:
    """The control words of ``mappings`` that lie in ``[start, end)``."""
    words = (mapping.control_word for mapping in mappings)
    return frozenset(word for word in words if word is not None and start <= word < end)


def whole_pages(length: int) -> int:
    """``length`` in bytes, rounded up to whole pages, as the kernel does."""
    return -(-length // PAGE) * PAGE


def offset_unit(abi: Abi) -> int:
    """The unit of mmap's offset argument in bytes. For 32-bit code, which calls mmap2(2), the unit is a page."""
    return 4096 if abi.bits == 32 else 1
