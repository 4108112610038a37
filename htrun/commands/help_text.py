"""Fits the help of ``htrun`` to the terminal."""

from __future__ import annotations

import shutil
import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_INDENT = 24
"""The column in which the texts of options begin."""
_WIDEST = 120
"""The width of the text as it is written."""
_NARROWEST = 60


def fitted(text: str) -> str:
    """``text``, with its paragraphs and the texts of its options wrapped to the width of the terminal, or to the width
    in the environment variable COLUMNS. Examples, and texts that fit, are not changed."""
    width = max(shutil.get_terminal_size().columns, _NARROWEST)
    if width >= _WIDEST:
        return text
    options, _, examples = text.partition("\nExamples:\n")
    return "\n".join(_fitted(options, width)) + "\n\nExamples:\n" + examples


def _fitted(text: str, width: int) -> Iterator[str]:
    for head, words in _entries(text):
        if not words:
            yield head
        elif not head:
            yield from textwrap.wrap(words, width, break_on_hyphens=False)
        else:
            indent = " " * _INDENT
            lines = textwrap.wrap(words, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
            beside = len(head) <= _INDENT - 2
            if not beside:
                yield from textwrap.wrap(head, width, subsequent_indent=" " * 6, break_on_hyphens=False)
            yield from [head.ljust(_INDENT) + lines[0].lstrip(), *lines[1:]] if beside else lines


def _entries(text: str) -> Iterator[tuple[str, str]]:
    """The parts of ``text``: an option and its text, a paragraph without an option, or a line that is not changed."""
    head, words = "", ""
    for line in text.splitlines():
        continues = line[:_INDENT].isspace() and len(line) > _INDENT if head else bool(line) and line[0] != " "
        if words and continues and not line.endswith(":"):
            words += " " + line.strip()
            continue
        if head and not words and continues:
            words = line.strip()
            continue
        if head or words:
            yield head, words
        head, words = "", ""
        if line.startswith("  ") and line[2:3] == "-":
            head, words = _divided(line)
        elif line and line[0] != " " and not line.endswith(":"):
            words = line
        else:
            yield line, ""
    if head or words:
        yield head, words


def _divided(line: str) -> tuple[str, str]:
    """The option and the begin of its text, which may be on the same line."""
    if line[_INDENT - 2 : _INDENT] == "  " and line[_INDENT:].strip():
        return line[:_INDENT].rstrip(), line[_INDENT:].strip()
    return line.rstrip(), ""
