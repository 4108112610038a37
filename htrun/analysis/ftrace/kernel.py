"""The formats and names that are needed to decode the trace of a kernel, and the kinds of the kernel's events."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from htrun.analysis.ftrace.entries import InternedTexts, KernelEvent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from htrun.analysis.ftrace.formats import EventFormat


@dataclass
class Kernel:
    """One kernel.

    ``formats``: the formats of its events, by type; ``symbols``: the names of its functions, by address; ``events``:
    the kinds of its events, by type, which `kernel_events` fills in.
    """

    formats: dict[int, EventFormat] = field(default_factory=dict)
    symbols: dict[int, str] = field(default_factory=dict)
    events: dict[int, KernelEvent] = field(default_factory=dict)


def kernel_events(kernels: Iterable[Kernel], first_id: int, texts: InternedTexts) -> Iterator[KernelEvent]:
    """The kinds of events of ``kernels``. They are also stored in `Kernel.events`. Equal formats of several kernels
    share a kind. Each kind has a unique name and an id; ids are counted from ``first_id``. ``texts``: receives the
    texts whose numbers the rows contain."""
    made: dict[EventFormat, KernelEvent] = {}
    titles: set[str] = set()
    for kernel in kernels:
        for type_, format_ in kernel.formats.items():
            event = made.get(format_)
            if event is None:
                title = _distinct(format_.title, titles)
                titles.add(title)
                event = made[format_] = KernelEvent(format_, first_id + len(made), title, texts)
                yield event
            kernel.events[type_] = event


def _distinct(title: str, taken: set[str]) -> str:
    """``title``, with a number appended if the title is among ``taken``."""
    number, found = 1, title
    while found in taken:
        number += 1
        found = f"{title}#{number}"
    return found
