"""The times of a whole program without htrun: the usage of each run, and figures of several runs, as hyperfine reports
them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from htrun.errors import HtrunError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from htrun.analysis.timing.comparison import Run
    from htrun.analysis.timing.figures import Figures, Timing

PROGRAM = "(program)"
"""The name that the wall time of the whole program has among the names of spans."""


@dataclass(frozen=True)
class Usage:
    """The times of one run, in ns. ``wall``: the time from start to exit; ``user``, ``system``: the processor time of
    the program and of every process that the program started and waited for. ``block``: see
    `htrun.analysis.timing.comparison.Run`."""

    wall: int
    user: int
    system: int
    block: str = ""

    def as_json(self) -> dict[str, int | str]:
        """The times, and the block if it is known, for JSON."""
        return {name: value for name, value in asdict(self).items() if name != "block" or value}

    def line(self) -> str:
        """The times as a line of text, which `of` can parse."""
        return json.dumps(self.as_json()) + "\n"

    @classmethod
    def of(cls, line: bytes, file: Path) -> Usage:
        """Parse a ``line`` of ``file``. Raises `HtrunError`."""
        try:
            found = json.loads(line)
            return cls(int(found["wall"]), int(found["user"]), int(found["system"]))
        except (ValueError, KeyError, TypeError):
            raise HtrunError(f"{file} does not contain the times of a program's runs; remove it") from None


@dataclass(frozen=True)
class WholeProgram:
    """One or more runs of a program without htrun."""

    usages: Sequence[Usage]

    @cached_property
    def figures(self) -> Mapping[str, Figures]:
        """The figures of ``wall``, ``user`` and ``system``."""
        from htrun.analysis.timing.clock_step import ClockStep
        from htrun.analysis.timing.distribution import Distribution
        from htrun.analysis.timing.figures import Figures

        step = ClockStep(1.0, known=True)
        columns = {kind: [getattr(usage, kind) for usage in self.usages] for kind in ("wall", "user", "system")}
        return {kind: Figures.of(Distribution.of(column, step=step.ns), step) for kind, column in columns.items()}

    def deviation(self, kind: str) -> float | None:
        """The standard deviation of ``kind`` between runs, in ns; None for a single run."""
        from statistics import stdev

        return stdev(getattr(usage, kind) for usage in self.usages) if len(self.usages) > 1 else None

    @property
    def timing(self) -> Timing:
        """The wall time, in the form of a timing of spans."""
        from htrun.analysis.timing.clock_step import ClockStep
        from htrun.analysis.timing.figures import Timing

        wall = self.figures["wall"]
        first, mild_low, mild_high, last = wall.fences
        severe = wall.distribution.beyond(first, last)
        mild = wall.distribution.beyond(mild_low, mild_high) - severe
        return Timing(PROGRAM, None, wall, None, None, None, mild, severe, ClockStep(1.0, known=True))

    @property
    def runs(self) -> list[Run]:
        """The wall time of each run, for comparisons."""
        from htrun.analysis.timing.comparison import Run
        from htrun.analysis.timing.inference import Interval

        walls = [(float(usage.wall), usage.block) for usage in self.usages]
        return [Run(Interval(wall, wall, wall), 1, block=block) for wall, block in walls]
