"""Tables as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> Iterator[str]:
    """The lines of a table, each with a newline. ``right``: for each column, whether it is aligned to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        cells = [
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ]
        yield "  ".join(cells).rstrip() + "\n"


def printable(text: str) -> str:
    """``text`` as one line, with unprintable characters escaped. A guest chooses the names of its threads, and control
    sequences in these names must not reach the terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)
