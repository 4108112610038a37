"""htrun: run a program and record the events it emits through a hypertrace channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os

    from htrun.analysis.trace import Trace
    from htrun.events.named import NamedEvents

__version__ = "1.0.0"

__all__ = ["__version__", "open"]


def open(path: str | os.PathLike[str], names: NamedEvents | None = None) -> Trace:
    """The trace that ``htrun -o`` wrote to the directory ``path``; see `htrun.analysis.trace.Trace`.

    ``names``: the named events to use instead of those in the trace. Raises `HtrunError` if ``path`` is not a trace. If
    a later part of the trace is damaged, this function warns, and the part before the damage is read.
    """
    # Imported here, because the command htrun imports this package and must start the program before it imports large
    # modules.
    from pathlib import Path

    from htrun.analysis.trace import Trace

    return Trace.open(Path(path), names)
