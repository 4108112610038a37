"""Reads saved figures of runs: the JSON of ``hypertrace stat``, ``hypertrace bench`` and ``hypertrace compare``."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

from htrun.analysis.timing.comparison import Run
from htrun.analysis.timing.inference import Interval
from htrun.analysis.timing.whole_program import Usage, WholeProgram
from htrun.errors import HtrunError
from htrun.reports.single_runs import OF_RUNS
from htrun.reports.timing import VERSION, title

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_STANDARD_INPUT = "-"
_MOST_RUNS = 100_000
_SIDES = "runs"
"""The key of the two sides of a comparison."""
_NO_SINGLE_RUNS = "does not contain the results of each run: create it again with this version of hypertrace"


@dataclass(frozen=True)
class SavedRun:
    """One run of a document; see `htrun.reports.runs.RunOfSpans`. ``raw``, ``corrected``: the run's spans by name and
    group, before and after the correction for the cost of events."""

    raw: Mapping[str, Run]
    corrected: Mapping[str, Run]
    facts: Mapping[str, str | int]
    lost: int
    missing: str
    remarks: Sequence[str] = ()

    def spans(self, *, corrected: bool) -> Mapping[str, Run]:
        """The run's spans by name and group. ``corrected``: whether they are corrected for the cost of events."""
        return self.corrected if corrected else self.raw

    @property
    def is_corrected(self) -> bool:
        """Whether all spans of the run are corrected for the cost of events."""
        return self.corrected.keys() == self.raw.keys()


@dataclass(frozen=True)
class SavedRuns:
    """The contents of a document. ``source``: the trace or the command; ``whole``: the runs of the program without
    htrun, if there are any."""

    source: str
    runs: Sequence[SavedRun]
    whole: WholeProgram | None

    @classmethod
    def read(cls, path: Path, patterns: Sequence[str] = ()) -> SavedRuns:
        """Read the file ``path``, or standard input for ``-``.

        ``patterns``: patterns of the names of spans, empty for all. Raises `HtrunError`.
        """
        name, document = _read(path)
        if "cells" in document:
            document = _Document(name, document).of_matrix()
        elif _SIDES in document:
            raise HtrunError(f"{name} contains the runs of both sides: give no other path")
        if "source" not in document or "spans" not in document:
            raise HtrunError(f"{name} contains no runs: give the JSON of hypertrace stat, bench or compare")
        return _Document(name, document).saved(patterns)

    @classmethod
    def read_both(cls, path: Path, patterns: Sequence[str] = ()) -> tuple[SavedRuns, SavedRuns]:
        """Both sides of the comparison in the file ``path``. See `read`."""
        name, document = _read(path)
        if _SIDES not in document:
            raise HtrunError(
                f"{name} does not contain two sides (as the JSON of bench --vs and compare does): name the other side"
            )
        one, other = (_Document(name, _Document(name, document).of_side(side)).saved(patterns) for side in "ab")
        return one, other


def is_saved(path: Path) -> bool:
    """Whether ``path`` can only be a document: a trace is a directory, and ``path`` is not."""
    return str(path) == _STANDARD_INPUT or (path.exists() and not path.is_dir())


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    """The name of the file ``path`` in messages, and the document in it."""
    name = "standard input" if str(path) == _STANDARD_INPUT else str(path)
    try:
        content = sys.stdin.buffer.read() if str(path) == _STANDARD_INPUT else path.read_bytes()
    except OSError as error:
        raise HtrunError(f"cannot read {name}: {error.strerror}") from error
    return name, _parsed(content, name)


def _parsed(content: bytes, name: str) -> dict[str, Any]:
    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is not JSON")

    try:
        document = json.loads(content, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise HtrunError(f"{name} is neither a trace nor JSON: {error}") from None
    if not isinstance(document, dict) or "version" not in document:
        raise HtrunError(f"{name} is not the JSON of hypertrace stat or bench: it has no version")
    if document["version"] != VERSION:
        raise HtrunError(f"{name} has version {document['version']!r}; this hypertrace reads version {VERSION}")
    return document


class _Document:
    """A document of the schema ``stat``. Each value is checked when it is read."""

    def __init__(self, name: str, content: Mapping[str, Any]) -> None:
        self._name = name
        self._content = content

    def saved(self, patterns: Sequence[str]) -> SavedRuns:
        """The contents of the document. Raises `HtrunError`."""
        spans = [self._object(each, "spans") for each in self._list(self._content, "spans")]
        chosen = [each for each in spans if _is_wanted(self._text(each, "name"), patterns)]
        if spans and not chosen:
            raise HtrunError(f"{self._name} has no spans called {' or '.join(map(repr, patterns))}")
        return SavedRuns(self._text(self._content, "source"), self._runs(chosen), self._whole())

    def _runs(self, spans: Sequence[Mapping[str, Any]]) -> list[SavedRun]:
        raw: dict[int, dict[str, Run]] = {1: {}}
        corrected: dict[int, dict[str, Run]] = {}
        for span in spans:
            name = title(self._text(span, "name"), self._text(span, "group") if "group" in span else None)
            if OF_RUNS not in span:
                raise HtrunError(f"{self._name} {_NO_SINGLE_RUNS}")
            for part in self._list(span, OF_RUNS):
                number, count = self._whole_number(part, "run"), self._whole_number(part, "count")
                if not 1 <= number <= _MOST_RUNS:
                    self._fail(f"run {number}")
                block = self._block(part)
                raw.setdefault(number, {})[name] = self._run(part["raw"], count, block)
                if part.get("corrected") is not None:
                    corrected.setdefault(number, {})[name] = self._run(part["corrected"], count, block)
        facts = self._object(self._content.get("environment"), "environment")
        missing = "holds no spans"
        lost = self._whole_number(self._content, "lost")
        runs = [SavedRun(raw[number], corrected.get(number, {}), facts, 0, missing) for number in sorted(raw)]
        # Facts that concern all runs are reported only with the first run.
        first = SavedRun(runs[0].raw, runs[0].corrected, facts, lost, missing, self._differences())
        return [first, *runs[1:]]

    def _differences(self) -> list[str]:
        prefix = "its runs: "
        lines = [each for each in self._list(self._content, "warnings") if isinstance(each, str)]
        return [line.removeprefix(prefix) for line in lines if line.startswith(prefix)]

    def _block(self, run: Mapping[str, Any]) -> str:
        """The block of a ``run``. Runs that were not made in a random order do not have it."""
        return self._text(run, "block") if "block" in run else ""

    def _run(self, figures: object, count: int, block: str) -> Run:
        own = self._object(figures, OF_RUNS)
        median, low, high, reach = (self._number(own, key) for key in ("median", "low", "high", "reach"))
        # Documents of earlier versions do not have it.
        apart = self._number(own, "apart") if "apart" in own else 0.0
        if not low <= median <= high or reach < 0 or apart < 0:
            self._fail(f"a median of {median} from {low} to {high}")
        return Run(Interval(median, low, high), count, own.get("resolved") is True, reach, apart, block)

    def _whole(self) -> WholeProgram | None:
        if self._content.get("whole_program") is None:
            return None
        whole = self._object(self._content["whole_program"], "whole_program")
        if "each" not in whole:
            raise HtrunError(f"{self._name} {_NO_SINGLE_RUNS}")
        usages = [self._object(usage, "each") for usage in self._list(whole, "each")]
        each = [self._usage(usage) for usage in usages]
        if not each or min(usage.wall for usage in each) <= 0:
            self._fail("runs of no length")
        return WholeProgram(each)

    def _usage(self, run: Mapping[str, Any]) -> Usage:
        wall, user, system = (self._whole_number(run, kind) for kind in ("wall", "user", "system"))
        return Usage(wall, user, system, self._block(run))

    def of_side(self, side: str) -> dict[str, Any]:
        """One ``side`` of a comparison, "a" or "b", as a document of the schema ``stat``."""
        runs = self._object(self._content.get(_SIDES), _SIDES)
        command = self._content.get(side)
        described = {} if command is None else self._object(command, side)
        source = {"source": described.get("command", f"{self._name} ({side.upper()})")}
        whole = {"whole_program": described.get("whole_program")}
        return {**self._object(runs.get(side), side), **source, **whole, "warnings": []}

    def of_matrix(self) -> dict[str, Any]:
        """The cells of a matrix as a document of the schema ``stat``. The names of spans include those of the cells."""
        cells = [self._object(cell, "cells") for cell in self._list(self._content, "cells")]
        if not cells:
            self._fail("no cells")
        spans = [
            {**self._object(span, "spans"), "name": self._name_in(cell, span)}
            for cell in cells
            for span in self._list(cell, "spans")
        ]
        lost = sum(self._whole_number(cell, "lost") for cell in cells)
        common = {"source": self._name, "environment": cells[0].get("environment"), "lost": lost}
        return {**common, "spans": spans, "warnings": []}

    def _name_in(self, cell: Mapping[str, Any], span: Mapping[str, Any]) -> str:
        return f"{self._text(cell, 'program')}@{self._text(cell, 'emulator')} {self._text(span, 'name')}"

    def _list(self, node: object, key: str) -> list[Any]:
        found = self._object(node, key).get(key)
        return found if isinstance(found, list) else self._fail(f"{key} is not a list")

    def _object(self, node: object, key: str) -> Mapping[str, Any]:
        return cast("Mapping[str, Any]", node) if isinstance(node, dict) else self._fail(f"{key} is not an object")

    def _text(self, node: Mapping[str, Any], key: str) -> str:
        found = node.get(key)
        return found if isinstance(found, str) else self._fail(f"{key} is not a string")

    def _number(self, node: object, key: str) -> float:
        found = self._object(node, key).get(key)
        if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
            self._fail(f"{key} is not a number")
        return float(found)

    def _whole_number(self, node: object, key: str) -> int:
        found = self._number(node, key)
        return int(found) if found.is_integer() and found >= 0 else self._fail(f"{key} is not a number from 0 up")

    def _fail(self, what: str) -> NoReturn:
        raise HtrunError(f"{self._name} is not the JSON of hypertrace stat or bench: {what}")


def _is_wanted(name: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)
