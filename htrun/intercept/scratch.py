"""Memory in a tracee for the arguments of an injected call.

The channel's header region takes 64 KiB, of which the ABI uses 64 bytes. htrun may write this region through its own
mapping, and the tracee may read it. So it is used if a thread's stack is too small, for example if only a few bytes are
left before a guard page.
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
"""The offset in the header region (bytes). It is greater than the offsets of all fields that a later version of the ABI
may define."""
_ROOM = HEADER_SIZE - _OFFSET


class Scratch:
    """Lends memory in a tracee for one call at a time."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    @contextmanager
    def holding(
        self, space: AddressSpace, registers: Registers, size: int, content: Callable[[int], bytes]
    ) -> Iterator[int]:
        """A context in which htrun may use ``size`` bytes in the memory of a thread. The thread is stopped with
        ``registers``. Yields the address. ``content``: called with the address; returns the bytes to write there.

        Raises OSError if neither the header nor the thread's stack has room.
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
            # If the thread has died meanwhile, the memory is gone, and the caller already gets an exception for this.
            with suppress(OSError):
                space.memory.write(address, saved)

    @staticmethod
    def _in_header(space: AddressSpace, size: int) -> int | None:
        """The scratch address in a mapping of the channel; None if the guest has not mapped this part of the header."""
        for mapping in space.mappings:
            low, high = mapping.part(_OFFSET, _ROOM)
            if high - low >= size and mapping.offset <= _OFFSET:
                return low
        return None
