"""The runs of ``hypertrace bench``. Each command first runs without htrun, and then under htrun.

The two kinds of run do not alternate: a run under htrun evicts the program from the processor's caches. The next run of
a program that takes a millisecond would then take 50% longer. Tools such as hyperfine also report the time of
consecutive runs.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from htrun.analysis.timing.run_order import RunOrder, common_order, stored_in
from htrun.analysis.timing.whole_program import Usage
from htrun.benchmark.alone import measure
from htrun.errors import HtrunError
from htrun.launch import launcher

if TYPE_CHECKING:
    from collections.abc import Sequence

    from htrun.benchmark.matrix import Cell
    from htrun.launch.program import Launch

_ALONE = "alone.jsonl"
"""The file, in the directory of a cell, with the times of each run without htrun."""
_UNFINISHED = "unfinished-"
"""The prefix of the names of incomplete traces in the directory of a cell."""
_CALIBRATION_PAIRS = 300
_MOST_TOLD = 2000
"""The maximum number of characters that are shown from the end of a failed program's output."""


@dataclass(frozen=True)
class RunPlan:
    """The number and kind of each command's runs.

    ``warmup``: the number of runs that come first and do not count. ``processors``: the processors to run on; empty for
    any. ``events``: the file that names events. ``options``: further options of htrun. ``whole``: whether each command
    is also run without htrun. ``seed``: determines the order of several commands; None: chosen at random.
    """

    runs: int
    warmup: int = 0
    processors: frozenset[int] = frozenset()
    events: Path | None = None
    options: tuple[str, ...] = ()
    whole: bool = True
    seed: int | None = None


def run_in_turns(cells: Sequence[Cell], places: Sequence[Path], plan: RunPlan) -> RunOrder:
    """Run every cell as often as ``plan`` says, and store the results in ``places``, which has one directory for each
    cell. Returns the order of the runs, which is random.

    Existing runs are not repeated. Raises `HtrunError`.
    """
    for cell, place in zip(cells, places, strict=True):
        _claim(place, cell)
    order = _order_of(places, plan)
    kinds = (_TracedRuns,) if not plan.whole else (_RunsAlone, _TracedRuns)
    for kind in kinds:
        sides: list[_Runs] = [kind(cell, place, plan) for cell, place in zip(cells, places, strict=True)]
        for side in sides:
            side.warm_up()
        for number, which in order.turns(len(sides)):
            if number < plan.runs:
                sides[which].run(number)
    return order


def traces_of(place: Path, runs: int) -> list[Path]:
    """The paths of a cell's traces."""
    return [place / _name(number) for number in range(runs)]


def usages_of(place: Path) -> list[Usage]:
    """The times of a cell's runs without htrun; empty if it has no such runs. Raises `HtrunError`."""
    file = place / _ALONE
    if not file.exists():
        return []
    whole, newline, _ = file.read_bytes().rpartition(b"\n")
    # If a bench was killed in the middle of a line, this bench continues after the last complete line.
    os.truncate(file, len(whole + newline))
    usages, order = [Usage.of(line, file) for line in whole.splitlines()], stored_in(place)
    if order is None:
        return usages
    return [replace(usage, block=order.block_of(number)) for number, usage in enumerate(usages)]


def _name(number: int) -> str:
    return f"run-{number + 1:03}"


def _claim(place: Path, cell: Cell) -> None:
    """Create the directory of a cell. Raises `HtrunError` if the directory belongs to another cell."""
    try:
        place.mkdir(parents=True, exist_ok=True)
        command = place / "command"
        if command.exists() and command.read_text() != shlex.join(cell.command):
            raise HtrunError(f"{place} contains runs of another command: {command.read_text()}; give another -o DIR")
        command.write_text(shlex.join(cell.command))
    except OSError as error:
        raise HtrunError(f"cannot write to {place}: {error.strerror}") from error


def _order_of(places: Sequence[Path], plan: RunPlan) -> RunOrder:
    """The order of the runs in ``places``, with at least the runs of ``plan``. It is stored there if there are several.

    If there are already runs, but not of one common order, the order is not stored, because a comparison cannot rely on
    it. Raises `HtrunError`.
    """
    if len(places) == 1:
        return RunOrder.new(plan.seed).extended(plan.runs)
    found = common_order(places)
    if found is not None and plan.seed not in (None, found.seed):
        raise HtrunError(
            f"{places[0].parent} contains runs in the order of --seed {found.seed}; give this seed, or another -o DIR"
        )
    order = (found or RunOrder.new(plan.seed)).extended(plan.runs)
    if found is not None or not any(_has_runs(place) for place in places):
        for place in places:
            order.store(place)
    return order


def _has_runs(place: Path) -> bool:
    return (place / _ALONE).exists() or any(place.glob("run-*"))


@dataclass(frozen=True)
class _Which:
    """The position of a run in its cell. ``number``: counts from 0. ``count``: the number of runs."""

    number: int
    count: int
    warming_up: bool = False

    def __str__(self) -> str:
        return f"{'warm-up ' * self.warming_up}run {self.number + 1} of {self.count}"


class _Runs(Protocol):
    """The runs of one cell, either with htrun or without it."""

    def warm_up(self) -> None:
        """Make the warm-up runs, unless all runs have already been made. Raises `HtrunError`."""

    def run(self, number: int) -> None:
        """Make run ``number``, which counts from 0, unless its result exists. Raises `HtrunError`."""


class _RunsAlone:
    """Runs without htrun.

    Each run adds a line to a file; little else is done between runs. A whole machine is not run, because its guest
    would not find the device. A command that names the channel is not run either.
    """

    def __init__(self, cell: Cell, place: Path, plan: RunPlan) -> None:
        self._cell = cell
        self._plan = plan
        self._file = place / _ALONE
        self._made = len(usages_of(place))
        self._launch = _launch_alone(cell)

    def warm_up(self) -> None:
        """See `_Runs`."""
        if self._made < self._plan.runs:
            for number in range(self._plan.warmup):
                self._measured(_Which(number, self._plan.warmup, warming_up=True))

    def run(self, number: int) -> None:
        """See `_Runs`."""
        which = _Which(number, self._plan.runs)
        if number >= self._made and (usage := self._measured(which)) is not None:
            with self._file.open("a") as file:
                file.write(usage.line())

    def _measured(self, which: _Which) -> Usage | None:
        if self._launch is None:
            return None
        status, usage = measure(self._launch.executable, self._launch.argv, self._plan.processors)
        if status:
            raise HtrunError(
                f"{shlex.join(self._cell.command)} fails without htrun in {which} ({_status(status)}); try --no-whole"
            )
        return usage


def _launch_alone(cell: Cell) -> Launch | None:
    """The launch of a cell's program without htrun; None if the program cannot run without htrun."""
    from htrun.launch.program import ProgramKind, resolve

    if any("{channel}" in word for word in cell.command):
        return None
    try:
        launch = resolve(cell.command, os.environ)
    except HtrunError as error:
        # The exit status of `error` is meant for a run of the program, so it is replaced by htrun's own.
        raise HtrunError(str(error)) from error
    return None if launch.kind is ProgramKind.SYSTEM else launch


class _TracedRuns:
    """Runs under htrun. Each run leaves a trace."""

    def __init__(self, cell: Cell, place: Path, plan: RunPlan) -> None:
        self._cell = cell
        self._place = place
        self._plan = plan
        _clear_unfinished(place)

    def warm_up(self) -> None:
        """See `_Runs`."""
        if all(trace.exists() for trace in traces_of(self._place, self._plan.runs)):
            return
        for number in range(self._plan.warmup):
            with tempfile.TemporaryDirectory(prefix="hypertrace-") as scratch:
                self._trace(Path(scratch) / "trace", _Which(number, self._plan.warmup, warming_up=True))

    def run(self, number: int) -> None:
        """See `_Runs`.

        A trace gets its final name when it is complete. Until then it has a name that no other run uses, because a run
        of an earlier bench that was killed may still continue.
        """
        final = self._place / _name(number)
        if final.exists():
            return
        unfinished = self._place / f"{_UNFINISHED}{os.urandom(6).hex()}"
        self._trace(unfinished, _Which(number, self._plan.runs))
        unfinished.rename(final)

    def _trace(self, path: Path, which: _Which) -> None:
        options = ["-q", "--timestamp", "ordered", "-o", str(path)]
        if self._plan.events is not None:
            options += ["--events", str(self._plan.events)]
        if self._plan.processors:
            options += ["--cpu", ",".join(map(str, sorted(self._plan.processors)))]
        with tempfile.TemporaryDirectory(prefix="hypertrace-") as scratch:
            channel = str(Path(scratch) / "channel")
            program = [word.replace("{channel}", channel) for word in self._cell.command]
            htrun = [*launcher.command(), "--hypertrace", channel, *options, *self._plan.options, "--"]
            environment = {"HYPERTRACE_CALIBRATE": str(_CALIBRATION_PAIRS), **os.environ}
            done = subprocess.run(
                [*htrun, *program],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=environment,
                check=False,
            )
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip()[-_MOST_TOLD:]
            raise HtrunError(
                f"{shlex.join(self._cell.command)} failed in {which} ({_status(done.returncode)}){said and f': {said}'}"
            )


def _clear_unfinished(place: Path) -> None:
    """Remove what a killed bench has left in the directory of a cell, except for traces that are still being
    written."""
    from htrun.ctf.following import is_being_written

    for trace in place.glob(f"{_UNFINISHED}*"):
        if not is_being_written(trace):
            shutil.rmtree(trace, ignore_errors=True)


def _status(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"exit status {status}"
