"""Memory in a tracee for the arguments of an injected call.

The channel's header region takes 64 KiB, of which the ABI uses 64 bytes. htrun may write it, through its own mapping,
and the tracee may read it: so it is used where a thread's stack is too small, for example with a few bytes left before
a guard page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from htrun.channel.file import Channel
from htrun.channel.layout import HEADER_SIZE
from htrun.intercept.guest import AddressSpace

if TYPE_CHECKING:
    from htrun.hosts.host import Registers

_OFFSET = 0x8000
"""The offset in the header region, after all that a later version of the ABI may put at its start."""
_ROOM = HEADER_SIZE - _OFFSET


class Scratch:
    """Lends memory for one call at a time."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    @contextmanager
    def holding(
        self, space: AddressSpace, registers: Registers, size: int, content: Callable[[int], bytes]
    ) -> Iterator[int]:
        """The address of ``size`` bytes in the memory of a stopped thread with ``registers``, within the context.
        ``content`` returns what they hold, given their address.

        Raises OSError where neither the header nor the thread's stack has room.
        """
        address = self._in_header(space, size)
        if address is not None:
            self._channel.write_header(_OFFSET, content(address))
            yield address
            return
        address = registers.below_stack(size)
        saved = space.memory.read(address, size)
        space.memory.write(address, content(address))
        try:
            yield address
        finally:
            # The memory is gone if the thread died meanwhile, which is already on its way to the caller.
            with suppress(OSError):
                space.memory.write(address, saved)

    @staticmethod
    def _in_header(space: AddressSpace, size: int) -> int | None:
        """The address in a mapping that shows this part of the header; a guest may map none of it."""
        for mapping in space.mappings:
            low, high = mapping.part(_OFFSET, _ROOM)
            if high - low >= size and mapping.offset <= _OFFSET:
                return low
        return None
