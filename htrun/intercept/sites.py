"""Sites: the instructions that were seen to store to a control region, and what became of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from htrun.intercept.places import Place

if TYPE_CHECKING:
    from htrun.hosts.host import Store, Trampoline

_FREE_LOSSES = 16
_MOST_PATIENCE = 4096
"""Traps. A patch costs as much as about ten traps."""


@dataclass(frozen=True, slots=True)
class Patch:
    """A site's jump to its trampoline."""

    original: bytes
    """The bytes of the store before the patch."""
    written: bytes
    """The bytes that replace them."""
    borrowed: bytes
    """The unchanged bytes after the store that are also part of the jump."""
    trampoline: Trampoline
    control: int
    """The control word for which the trampoline records."""
    keeps_flags: bool
    """Whether the arithmetic flags survive it."""

    @property
    def at(self) -> int:
        """Address of the trampoline."""
        return self.trampoline.address


@dataclass(eq=False, slots=True)
class Site:
    """One instruction, in one address space, that stored to the control region."""

    number: int
    """The number of the site in records; unique in the run."""
    pid: int
    """The process in which it was first seen."""
    address: int
    """Of the instruction."""
    code: bytes
    """Its bytes when it was decoded, since generated code is rewritten in place."""
    store: Store
    """What it does."""
    place: Place
    """The mapping it is part of."""
    traps: int = 0
    """How often it was caught, in relatives too."""
    patch: Patch | None = None
    """The patch that is in place."""
    refused: str = ""
    """Why there can be none; empty if there can."""
    made: dict[int, Patch] = field(default_factory=dict)
    """By control word, patches that were in place once and may be again."""
    losses: int = 0
    """How often the guest wrote over a patch."""
    not_before: int = 0
    """The number of traps after which it may be patched again."""
    siblings: dict[bytes, Site] = field(default_factory=dict)
    """All sites that were ever seen at this address, including this one, by their bytes."""
    parent: Site | None = None
    """The same site in the related process that had it first; None in that process."""

    def fork(self) -> Site:
        """The same instruction in a forked child's copy of the memory, patched as it is."""
        return Site(
            self.number,
            self.pid,
            self.address,
            self.code,
            self.store,
            self.place,
            patch=self.patch,
            refused=self.refused,
            parent=self.parent or self,
        )

    def met_again(self) -> Site:
        """The same instruction in the memory of a relative (`htrun.intercept.family`), not patched."""
        first = self.parent or self
        return Site(self.number, self.pid, self.address, self.code, self.store, self.place, parent=first)

    def trapped(self, times: int = 1) -> None:
        """It was caught ``times`` more often."""
        self.traps += times
        if self.parent is not None:
            self.parent.traps += times

    def succeed(self, former: Site) -> None:
        """The guest has replaced the code of ``former`` with the code of this site."""
        self.siblings = former.siblings
        self.losses = former.losses
        self.not_before = self._patience

    def lost_patch(self) -> None:
        """The guest has overwritten the patch, and may do so again. After several times, another patch pays only if
        enough events come in between."""
        self.patch = None
        self.losses += 1
        self.not_before = self.traps + self._patience

    @property
    def _patience(self) -> int:
        """How many traps to wait before patching."""
        return 0 if self.losses <= _FREE_LOSSES else min(1 << self.losses - _FREE_LOSSES, _MOST_PATIENCE)


def describe(patch: Patch) -> str:
    """A readable description of how a site is patched."""
    way = "jump" if not patch.borrowed else f"pun of {len(patch.written)} + {len(patch.borrowed)} bytes"
    return f"{way} to {patch.at:#x}"
