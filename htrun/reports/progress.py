"""A progress bar on the terminal, for work that takes more than a second."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from htrun.events.records import Events

_PATIENCE = 1.0
"""The time in seconds before a bar is shown."""


def with_progress(batches: Iterator[Events], total: int, what: str, *, wanted: bool = True) -> Iterator[Events]:
    """Yield ``batches`` unchanged, while a bar on standard error shows how many of ``total`` events they contained so
    far.

    ``what``: the title of the bar. No bar is shown if standard error is not a terminal, or if ``wanted`` is False.
    """
    if not wanted or not sys.stderr.isatty():
        yield from batches
        return
    started, done = time.monotonic(), 0
    bar: Any = None
    try:
        for events in batches:
            if bar is None and time.monotonic() - started > _PATIENCE:
                bar = _bar()
                task = bar.add_task(what, total=total)
            yield events
            done += len(events)
            if bar is not None:
                bar.update(task, completed=done)
    finally:
        if bar is not None:
            bar.stop()


def _bar() -> Any:
    # Imported only here, because importing it takes a noticeable time.
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    bar.start()
    return bar
