"""Sites: the instructions that were seen to store to a control region, and what became of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from htrun.intercept.places import Place

if TYPE_CHECKING:
    from htrun.x86.store import Store
    from htrun.x86.trampoline import Trampoline


@dataclass(frozen=True, slots=True)
class Patch:
    """A site's jump to its trampoline.

    ``original``, ``written``: the store's bytes before and since; ``borrowed``: the bytes behind the store that belong to
    the jump too, unchanged; ``control``: the control word for which the trampoline records.
    """

    original: bytes
    written: bytes
    borrowed: bytes
    trampoline: Trampoline
    control: int

    @property
    def at(self) -> int:
        """Address of the trampoline."""
        return self.trampoline.address


@dataclass(eq=False, slots=True)
class Site:
    """One instruction, in one address space, that stored to the control region.

    ``number``: of the site, unique in the run: what records bear; ``address``: of the instruction; ``code``: its bytes
    when it was decoded, since generated code is rewritten in place; ``store``: what it does; ``traps``: how often it was
    caught; ``patch``: the patch that is in place; ``refused``: why there can be none; ``place``: the
    mapping it is part of.
    """

    number: int
    pid: int
    address: int
    code: bytes
    store: Store
    place: Place
    traps: int = 0
    patches: int = 0
    patch: Patch | None = None
    refused: str = ""

    def fork(self) -> Site:
        """The same instruction in a forked child's copy of the memory, patched as it is."""
        return Site(
            self.number, self.pid, self.address, self.code, self.store, self.place, patch=self.patch, refused=self.refused
        )


def describe(patch: Patch) -> str:
    """How a site is patched, for people."""
    way = "jump" if not patch.borrowed else f"pun of {len(patch.written)} + {len(patch.borrowed)} bytes"
    return f"{way} to {patch.at:#x}"
