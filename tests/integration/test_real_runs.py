"""Real runs of one program are called different at most once in 20 times, whatever their spans are like.

``HTRUN_POOL_RUNS=400`` records so many runs on a quiet machine and on a busy one; ``HTRUN_POOL_PAIRS=1000`` compares so
many pairs of sets of runs in each case. tests/unit/analysis/test_false_alarms.py does the same with runs that it makes
up.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from htrun.analysis.timing.comparison import Run
from htrun.analysis.timing.query import SpanQuery
from htrun.analysis.timing.run_order import RunOrder
from htrun.reports.runs import TimedRun
from tests.support.busy import busy_loops
from tests.support.run import HTRUN
from tests.support.toolchain import Toolchain
from tests.support.verdicts import alarms, in_random_order, most_alarms, verdict_of

GUEST = Path(__file__).parent / "guests" / "kinds_of_spans.c"
POOL = int(os.environ.get("HTRUN_POOL_RUNS", "60"))
PAIRS = int(os.environ.get("HTRUN_POOL_PAIRS", "100"))
KINDS = ("independent", "correlated", "drifting", "bimodal")
NAMES = "".join(
    f'[[event]]\nid = {2 * number + place}\nname = "{name}"\nphase = "{phase}"\n'
    for number, name in enumerate(KINDS)
    for place, phase in ((1, "begin"), (2, "end"))
)
CHANCE = 1e-6

Draw = Callable[[np.random.Generator, Sequence[Run], int], tuple[Sequence[Run], Sequence[Run]]]
Pool = Sequence[Mapping[str, Run]]
"""Runs in the order of time, each with its spans by name."""

pytestmark = pytest.mark.heavy("records many runs; test_false_alarms.py of the unit tests makes them up")


@pytest.fixture(scope="module", params=[0, 1], ids=["quiet", "busy"])
def pool(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, toolchain: Toolchain) -> Pool:
    """The runs, recorded with nothing or busy loops beside."""
    directory = tmp_path_factory.mktemp("pool")
    guest = toolchain.compile(GUEST)
    (directory / "events.toml").write_text(NAMES)
    runs = []
    with busy_loops() if request.param else nullcontext():
        # The seeds of the guest, which differ in the two pools.
        for number in range(request.param * POOL, (request.param + 1) * POOL):
            trace = directory / f"{number}"
            options = ("--events", directory / "events.toml", "-o", trace)
            subprocess.run([HTRUN, "-q", *options, guest, f"{number}"], check=True)
            runs.append(TimedRun.read(trace, SpanQuery(), None).spans(corrected=False))
    return runs


def as_bench_does(generator: np.random.Generator, pool: Sequence[Run], runs: int) -> tuple[list[Run], list[Run]]:
    """Two sets of ``runs`` runs of the ``pool``, in the order of bench --vs, with their blocks."""
    chosen = np.sort(generator.choice(len(pool), 2 * runs, replace=False))
    order = RunOrder.new(int(generator.integers(1 << 32))).extended(runs)
    return in_random_order([pool[place] for place in chosen], order)


def at_random(generator: np.random.Generator, pool: Sequence[Run], runs: int) -> tuple[list[Run], list[Run]]:
    """Two sets of ``runs`` runs of the ``pool``, at any times."""
    chosen = [pool[place] for place in generator.choice(len(pool), 2 * runs, replace=False)]
    return chosen[:runs], chosen[runs:]


@pytest.mark.parametrize("draw", [as_bench_does, at_random], ids=lambda draw: draw.__name__)
@pytest.mark.parametrize("runs", [1, 3, 10])
@pytest.mark.parametrize("kind", KINDS)
def test_no_false_alarm(pool: Pool, kind: str, runs: int, draw: Draw) -> None:
    """Pairs share runs, but they are drawn independently from the runs that there are. So the number of alarms has a
    binomial distribution; its parameter is the share of alarms among all pairs that can be drawn. This share is at most
    5% for any pool, however its runs depend on each other: the same runs, distributed over A and B in all ways that are
    equally likely, give an alarm in at most 5% of these ways. A share of 5% exceeds the limit once in a million
    times."""
    generator = np.random.default_rng([runs, KINDS.index(kind)])
    of_kind = [run[kind] for run in pool]
    verdicts = []
    for _ in range(PAIRS):
        verdicts.append(verdict_of(*draw(generator, of_kind, runs)))
    print(f"{kind}, {runs} runs, {draw.__name__}: {alarms(verdicts)} of {PAIRS} pairs gave an alarm")
    assert alarms(verdicts) <= most_alarms(PAIRS, runs, CHANCE)
