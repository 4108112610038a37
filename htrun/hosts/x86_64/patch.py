"""Plans the jump that replaces a site's store: the bytes to write, and the addresses for its trampoline. Pure
functions.

Only the bytes of the store itself are written. A ``jmp rel32`` fits into five or more bytes. In a shorter store, the
last bytes of the jump are the unchanged bytes of the following instructions (*instruction punning*), so that all former
jump targets stay valid. These bytes fix the high bytes of the displacement. A prefix has no effect except that the jump
begins one byte later. Then the jump borrows one more byte, and reaches another, smaller window of addresses.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from iced_x86 import Decoder, FlowControl, Instruction

from htrun.hosts.host import Write

JUMP = b"\xe9"
BREAKPOINT = b"\xcc"
HALT = b"\xf4"
"""HLT. A breakpoint is no alternative: its SIGTRAP is a forced signal too, and would reset the mask and the action of a
guest that blocks or ignores SIGTRAP (kernel/signal.c). htrun restores the mask and the action only for SIGSEGV, after
each trap."""
PREFIX = b"\x3e"
"""A segment override (DS), which has no effect on a near direct jump in 64-bit code. Assemblers align branches with
it."""

JUMP_LENGTH = 5
_DISPLACEMENT = 4

LOWEST_ADDRESS = 1 << 16
"""The default of ``vm.mmap_min_addr``."""
HIGHEST_ADDRESS = (1 << 47) - 4096
"""The end of user addresses with four-level page tables (Documentation/arch/x86/x86_64/mm.rst)."""


class Candidate(NamedTuple):
    """One way to patch a site.

    ``site``: the address of the site; ``original``: the bytes of the store. ``prefixes``: the number of prefixes before
    the jump. ``borrowed``: the bytes after the store that end the displacement; empty for a plain jump. ``low``,
    ``high``: the trampoline's entry must be in ``[low, high)``.
    """

    site: int
    original: bytes
    prefixes: int
    borrowed: bytes
    low: int
    high: int

    @property
    def is_pun(self) -> bool:
        """Whether bytes after the store are part of the jump."""
        return bool(self.borrowed)

    def code_for(self, entry: int) -> bytes:
        """The bytes to write over the store: a jump to ``entry``. The result is exactly as long as the store."""
        if not self.low <= entry < self.high:
            raise ValueError(f"{entry:#x} is not in the window {self.low:#x} to {self.high:#x}")
        distance = entry - (self.site + self.prefixes + JUMP_LENGTH)
        jump = PREFIX * self.prefixes + JUMP + distance.to_bytes(_DISPLACEMENT, "little", signed=True)
        length = len(self.original)
        return (jump + self.original[len(jump) :])[:length]


class Plan(NamedTuple):
    """The possible patches of a site: ``candidates``, the widest window first. ``reason``: the reason why there are no
    candidates; None if there are candidates."""

    candidates: tuple[Candidate, ...]
    reason: str | None


def plan(code: bytes, site: int, store_length: int, *, generated: bool) -> Plan:
    """Plan the patch of the store of ``store_length`` bytes at ``site``.

    ``code``: the bytes from ``site`` on: the store and at least four more bytes, or all bytes up to the end of the
    executable mapping. ``generated``: whether the code is in anonymous memory (an emulator's code cache), where
    branches are relinked.
    """
    if store_length >= JUMP_LENGTH:
        return Plan((_candidate(code, site, store_length, 0),), None)
    following = code[store_length : store_length + JUMP_LENGTH]
    limit = len(following)
    forbidden = dict(_unborrowable(code[store_length:], site + store_length, generated))
    candidates = []
    reason = "the jump cannot reach any usable address"
    for prefixes in range(store_length):
        wanted = JUMP_LENGTH + prefixes - store_length
        if wanted > _DISPLACEMENT:
            break
        if wanted > limit:
            reason = "the executable mapping ends right after the store"
            break
        refusal = next((forbidden[offset] for offset in range(wanted) if offset in forbidden), None)
        if refusal:
            reason = refusal
            break
        candidate = _candidate(code, site, store_length, prefixes)
        if candidate.low < candidate.high:
            candidates.append(candidate)
    return Plan(tuple(candidates), None if candidates else reason)


def _candidate(code: bytes, site: int, length: int, prefixes: int) -> Candidate:
    """The jump after ``prefixes`` prefixes. Its window may be empty, since it is limited to user addresses."""
    borrowed = code[length : max(length, prefixes + JUMP_LENGTH)]
    free = _DISPLACEMENT - len(borrowed)
    origin = site + prefixes + JUMP_LENGTH
    fixed = int.from_bytes(borrowed, "little", signed=True) << 8 * free
    low = origin + fixed if borrowed else origin - (1 << 31)
    high = low + (1 << 8 * free)
    return Candidate(site, code[:length], prefixes, borrowed, max(low, LOWEST_ADDRESS), min(high, HIGHEST_ADDRESS))


def _unborrowable(following: bytes, address: int, generated: bool) -> Iterator[tuple[int, str]]:
    """The offsets of the bytes after the store that the jump must not borrow, because they may change. Each offset
    comes with the reason."""
    decoder = Decoder(64, following, ip=address)
    ended = False
    while decoder.can_decode and decoder.position < _DISPLACEMENT:
        start = decoder.position
        if generated and ended:
            yield from ((offset, "the code ends after the store") for offset in range(start, _DISPLACEMENT))
            return
        instruction = decoder.decode()
        ended = instruction.flow_control in _ENDS
        if following[start : start + 1] == BREAKPOINT:
            yield start, "there is a breakpoint after the store"
        if generated and _is_direct_branch(instruction):
            offsets = decoder.get_constant_offsets(instruction)
            first = start + offsets.immediate_offset
            for offset in range(first, first + offsets.immediate_size):
                yield offset, "a branch after the store is relinked at run time"


_ENDS = (FlowControl.UNCONDITIONAL_BRANCH, FlowControl.INDIRECT_BRANCH, FlowControl.RETURN)
"""The kinds of instruction that may end a piece of generated code: the bytes after it may be replaced separately."""


def _is_direct_branch(instruction: Instruction) -> bool:
    return bool(
        instruction.is_jmp_short_or_near
        or instruction.is_jcc_short_or_near
        or instruction.is_call_near
        or instruction.is_jcx_short
        or instruction.is_loop
        or instruction.is_loopcc
    )


def steps(site: int, old: bytes, new: bytes) -> tuple[Write, ...]:
    """The writes that change ``old`` to ``new`` at ``site`` while other threads execute this code, as the kernel's
    ``text_poke_bp`` does.

    The first write puts a halt at the first byte. The second write replaces the bytes after the halt. The third write
    replaces the halt. Between two writes every processor must serialize (``membarrier(SYNC_CORE)``). A thread that has
    met the halt continues at ``site``.
    """
    assert len(old) == len(new)
    if old == new:
        return ()
    changed = max(number for number in range(len(new)) if old[number] != new[number])
    first, tail = Write(site, new[:1]), Write(site + 1, new[1 : changed + 1])
    return tuple(write for write in (Write(site, HALT), tail, first) if write.data)
