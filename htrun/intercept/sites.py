"""Sites and their patches. A site is an instruction that has stored to a control region."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from htrun.intercept.places import Place

if TYPE_CHECKING:
    from collections.abc import Iterable

    from htrun.hosts.host import Store, Trampoline

_FREE_LOSSES = 16
_MOST_PATIENCE = 4096
"""The maximum number of traps to wait before a site is patched again. A patch costs as much as about ten traps."""


class Patch(NamedTuple):
    """The jump that replaces a site's store and leads to a trampoline."""

    original: bytes
    """The bytes of the store before the patch."""
    written: bytes
    """The bytes that replace the store."""
    borrowed: bytes
    """The bytes after the store that are also part of the jump, unchanged."""
    trampoline: Trampoline
    control: int
    """The address of the control word whose events the trampoline records."""
    keeps_flags: bool
    """Whether the trampoline keeps the arithmetic flags."""

    @property
    def at(self) -> int:
        """The address of the trampoline."""
        return self.trampoline.address


_MANY_TRAPS = 10_000
"""htrun warns about a site that has trapped this number of times, which takes about a second."""


class Site:
    """One instruction in one address space that has stored to the control region."""

    __slots__ = (
        "address",
        "code",
        "losses",
        "made",
        "not_before",
        "number",
        "parent",
        "patch",
        "pid",
        "place",
        "refused",
        "siblings",
        "store",
        "traps",
    )

    def __init__(
        self,
        number: int,
        pid: int,
        address: int,
        code: bytes,
        store: Store,
        place: Place,
        *,
        patch: Patch | None = None,
        refused: str = "",
        parent: Site | None = None,
    ) -> None:
        self.number = number
        """The number of the site in records. It is unique in the run."""
        self.pid = pid
        """The id of the process in which the site was first seen."""
        self.address = address
        """The address of the instruction."""
        self.code = code
        """The bytes of the instruction when it was decoded. Generated code may be rewritten in place."""
        self.store = store
        """The decoded instruction."""
        self.place = place
        """The mapping that contains the instruction."""
        self.traps = 0
        """The number of traps at this site, including those in related processes."""
        self.patch = patch
        """The patch that is in place; None if there is none."""
        self.refused = refused
        """The reason why the site can't be patched; empty if it can be."""
        self.made: dict[int, Patch] = {}
        """Patches that were in place earlier and may be used again, by the address of their control word."""
        self.losses = 0
        """The number of times that the guest has overwritten a patch of the site."""
        self.not_before = 0
        """The number of traps after which the site may be patched again."""
        self.siblings: dict[bytes, Site] = {}
        """All sites that have ever been at this address, including this site, by the bytes of their instruction."""
        self.parent = parent
        """The same site in the related process that had the site first; None in that process itself."""

    def fork(self) -> Site:
        """A copy of the site for a forked child. The copy is patched if this site is patched."""
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
        """A copy of the site for a related process (`htrun.intercept.family`) in which the same instruction has
        trapped. The copy is not patched."""
        first = self.parent or self
        return Site(self.number, self.pid, self.address, self.code, self.store, self.place, parent=first)

    def trapped(self, times: int = 1) -> None:
        """Count ``times`` additional traps, for this site and for the site in the process that had the site first."""
        self.traps += times
        if self.parent is not None:
            self.parent.traps += times

    def succeed(self, former: Site) -> None:
        """Take over the history of ``former``. The guest has replaced the code of ``former`` with the code of this
        site."""
        self.siblings = former.siblings
        self.losses = former.losses
        self.not_before = self._patience

    def lost_patch(self) -> None:
        """Note that the guest has overwritten the patch. After several losses, htrun waits for more traps before it
        patches the site again, because the new patch may be lost soon, too."""
        self.patch = None
        self.losses += 1
        self.not_before = self.traps + self._patience

    @property
    def _patience(self) -> int:
        """The number of traps to wait before the site is patched."""
        return 0 if self.losses <= _FREE_LOSSES else min(1 << self.losses - _FREE_LOSSES, _MOST_PATIENCE)


def describe(patch: Patch) -> str:
    """A readable description of how a site is patched."""
    way = "jump" if not patch.borrowed else f"pun of {len(patch.written)} + {len(patch.borrowed)} bytes"
    return f"{way} to {patch.at:#x}"


def costly(sites: Iterable[Site]) -> str | None:
    """A warning about sites that cannot be patched and have trapped many times; None if there are none."""
    # Copies in related processes are skipped, because their traps are also counted in the original site.
    found = [site for site in sites if site.refused and site.parent is None and site.traps >= _MANY_TRAPS]
    if not found:
        return None
    worst = max(found, key=lambda site: site.traps)
    others = f" ({len(found)} sites trapped so often)" if len(found) > 1 else ""
    return (
        f"the store at {worst.address:#x} in process {worst.pid} trapped {worst.traps:,} times, and each trap costs "
        f"thousands of times as much as an event of a patched site. It is not patched: {worst.refused}{others}"
    )
