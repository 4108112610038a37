"""Whole programs timed by hyperfine and by ``hypertrace bench``. Both report the wall time, so the results should
agree."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench import hash_program, htrun
from bench.groups import PROGRAM, SHORT_PROGRAM
from bench.model import Bench, Group, Run
from bench.outcome import FailedError, Sample, UnavailableError
from bench.workshop import MEMORY, Workshop, last_processor

_RUNS = 10
"""The number of consecutive runs of the program by each of the two tools, in every round of the bench."""
_WORK = ("100000", "500")
"""The arguments of the longer program: 500 hashes of 100 kB, which take about 50 ms."""


def _program(group: Group, shop: Workshop) -> list[str]:
    """The command that is timed."""
    if group is SHORT_PROGRAM:
        return ["true"]
    return [str(hash_program.guest(shop)), *_WORK]


class ByHyperfine(Bench):
    """The median of hyperfine's runs, without a shell."""

    tags = frozenset({"peers", "hyperfine"})

    def __init__(self, group: Group) -> None:
        self.group = group
        self.name = group.name
        self.title = "hyperfine"

    def prepare(self, shop: Workshop) -> Run:
        if shutil.which("hyperfine") is None:
            raise UnavailableError("no hyperfine: apt-get install hyperfine")
        program = _program(self.group, shop)

        def run() -> Sample:
            with shop.temporary_directory(MEMORY) as directory:
                told = directory / "told.json"
                pinned = ["taskset", "--cpu-list", str(last_processor())]
                options = ["--shell=none", "--warmup", "1", "--runs", str(_RUNS), "--export-json", str(told)]
                shop.call([*pinned, "hyperfine", *options, shlex.join(program)])
                return _sample(told, ("results", 0), 1e3)

        return run


class ByHypertraceBench(Bench):
    """The median of the runs without htrun."""

    tags = frozenset({"peers", "htrun", "hypertrace-bench"})

    def __init__(self, group: Group) -> None:
        self.group = group
        self.name = f"{group.name}-bench"
        self.title = "hypertrace bench"

    def prepare(self, shop: Workshop) -> Run:
        program = _program(self.group, shop)

        def run() -> Sample:
            with shop.temporary_directory(MEMORY) as directory:
                told = directory / "told.json"
                options = ["--runs", str(_RUNS), "--warmup", "1", "--cpu", str(last_processor()), "--json", str(told)]
                shop.call([*htrun.hypertrace(), "bench", *options, "--", *program])
                return _sample(told, ("whole_program", "wall"), 1e-6)

        return run


def _sample(told: Path, way: Sequence[str | int], scale: float) -> Sample:
    """The median that the path ``way`` leads to in the JSON file ``told``. ``scale``: the factor that converts the
    median to ms."""
    try:
        found = json.loads(told.read_text())
        for step in way:
            found = found[step]
        return Sample(found["median"] * scale, facts={"standard deviation": found["stddev"] * scale})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FailedError(f"no figures in {told.name}: {error!r}") from error


def benches() -> Iterator[Bench]:
    """The benches of a program that takes about 50 ms, and of a program that takes less than 1 ms."""
    for group in (PROGRAM, SHORT_PROGRAM):
        yield ByHyperfine(group)
        yield ByHypertraceBench(group)
