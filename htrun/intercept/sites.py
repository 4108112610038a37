"""Sites: the instructions that were seen to store to a control region."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from htrun.x86.store import Store


@dataclass(eq=False, slots=True)
class Site:
    """One instruction, in one address space, that stored to the control region.

    ``address``: of the instruction; ``code``: its bytes when it was decoded, since generated code is rewritten in place;
    ``store``: what it does; ``traps``: how often it was caught; ``events``: how many events those traps were.
    """

    address: int
    code: bytes
    store: Store
    traps: int = 0
    events: int = 0

    def fork(self) -> Site:
        """The same instruction in a forked child's copy of the memory."""
        return Site(self.address, self.code, self.store)
