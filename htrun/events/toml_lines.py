"""Finds the lines of tables and keys in a TOML text. The standard library gives the lines of syntax errors only."""

from __future__ import annotations

import re


class TomlLines:
    """Finds lines in a valid TOML ``text`` that contains an array of tables called ``array``. Lines are counted from
    1."""

    def __init__(self, text: str, array: str) -> None:
        self._lines = text.splitlines()
        self._array = array

    def of_key(self, key: str) -> int:
        """The line of a top-level ``key`` or table."""
        name = _name(key)
        return self._first(re.compile(rf"\s*(\[+\s*)?{name}\s*[=.\]]"), 0, len(self._lines))

    def of_table(self, number: int, key: str | None = None, text: str | None = None) -> int:
        """The line of table ``number`` (from 0) of the array. With ``key``, the line of this key in the table. With
        ``text``, the line of the first ``text`` after the key.

        If the table does not have the key, the result is the table's line.
        """
        headers = self._headers()
        if number >= len(headers):
            return self.of_key(self._array)
        start = headers[number]
        end = headers[number + 1] if number + 1 < len(headers) else len(self._lines)
        if key is None:
            return start + 1
        line = self._first(re.compile(rf"\s*{_name(key)}\s*[=.]"), start, end)
        return line if text is None else self._first(re.compile(".*" + re.escape(text)), line - 1, end)

    def _first(self, pattern: re.Pattern[str], start: int, end: int) -> int:
        """The line of the first match of ``pattern`` at the start of a line within ``start .. end``. If there is no
        match, the line of ``start``."""
        found = (place for place in range(start, end) if pattern.match(self._lines[place]))
        return next(found, start) + 1

    def _headers(self) -> list[int]:
        """The positions of the lines that begin a table of the array."""
        header = re.compile(rf"\s*\[\[\s*{_name(self._array)}\s*\]\]")
        return [place for place, line in enumerate(self._lines) if header.match(line)]


def _name(key: str) -> str:
    return rf"""["']?{re.escape(key)}["']?"""
