"""The text that `hypertrace top` prints: the lines of the latest events, and the final summary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from htrun.reports.table import printable, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from htrun.events.records import Events
    from htrun.events.shapes import Shapes
    from htrun.events.stream import Stream

_MOST_ROWS = 20

Rows = tuple["Sequence[str]", "Sequence[Sequence[str]]"]
"""The head of a table, and its rows: words in the first column, numbers in the others."""


def latest_lines(
    batches: Sequence[Events], shapes: Shapes, streams: Sequence[Stream], begin: int, most: int
) -> list[str]:
    """The lines of the last ``most`` events of ``batches``.

    ``begin``: the start of relative times, in ns since the epoch.
    """
    from htrun.reports.lines import Lines

    lines = Lines(shapes, streams, begin)
    text = b"".join(lines.text(events) for events in batches).decode(errors="replace")
    return [printable(line) for line in text.splitlines()[-most:]]


def summary(figures: Sequence[tuple[str, str]], tables: Sequence[Rows]) -> Iterator[str]:
    """The text of the summary: ``figures``, which are pairs of a name and a value, and the first rows of ``tables``."""
    for name, value in figures:
        yield f"{name + ':':<9}{value}\n"
    for head, rows in tables:
        if not rows:
            continue
        shown = [tuple(map(printable, row)) for row in rows[:_MOST_ROWS]]
        yield "\n"
        yield from table(head, shown, [column > 0 for column in range(len(head))])
        if len(rows) > len(shown):
            yield f"... and {len(rows) - len(shown):,} more\n"
