"""The common code of the measured programs, tested by running one."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from bench.outcome import FailedError
from bench.workshop import Plan, Workshop, parse_measurement
from tests.support.requirements import require_tool

PLAN = Plan(events=100, bursts=4, warmup=1, pause_us=0, singles=50, threads=1)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Workshop]:
    with ExitStack() as cleanup:
        yield Workshop(True, tmp_path, cleanup)


@pytest.fixture
def floor(tmp_path: Path) -> Path:
    program = tmp_path / "floor"
    source = Path(__file__).parents[3] / "bench" / "rivals" / "floor.c"
    compiler = require_tool("gcc", "gcc")
    subprocess.run([compiler, "-O2", "-D_GNU_SOURCE", "-pthread", "-o", program, source], check=True)
    return program


def test_a_program_measures_itself(shop: Workshop, floor: Path) -> None:
    sample = shop.measure([str(floor)], PLAN)
    assert 0 < sample.value < 1e6
    assert sample.p50 is not None
    assert sample.p99 is not None
    assert 0 <= sample.p50 <= sample.p99
    assert len(sample.bursts) == PLAN.bursts
    assert all(burst.ns > 0 and 0 < burst.probe < 1e4 for burst in sample.bursts)


def test_single_events_may_be_left_out(shop: Workshop, floor: Path) -> None:
    assert shop.measure([str(floor)], PLAN.without_singles()).p50 is None


@pytest.mark.parametrize("argument", ["event=1", "events", "threads=0", "threads=65"])
def test_a_bad_argument_ends_a_program(floor: Path, argument: str) -> None:
    done = subprocess.run([floor, argument], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("Invalid argument\n")


def test_a_program_that_fails_is_a_failure_with_its_words(shop: Workshop, floor: Path) -> None:
    with pytest.raises(FailedError, match="ended with 1: error: threads: Invalid argument"):
        shop.call([str(floor), "threads=0"])


@pytest.mark.parametrize(
    "output", ["", "hello", "{}", '{"ns": []}', '{"ns": 3}', "[]", '{"ns": [1]}', '{"ns": [1, 2], "probe": [1]}']
)
def test_output_without_a_measurement_is_a_failure(output: str) -> None:
    with pytest.raises(FailedError, match="no measurement"):
        parse_measurement(output)


def test_a_plan_knows_how_many_events_it_emits() -> None:
    assert PLAN.emitted == 550
    assert PLAN.without_singles().emitted == 500
    assert Plan(events=100, bursts=4, warmup=1, singles=50, threads=2).emitted == 1100
    assert PLAN.scaled(0.25) == Plan(events=100, bursts=1, warmup=1, pause_us=0, singles=12, threads=1)


def test_two_programs_have_two_names(shop: Workshop) -> None:
    """Otherwise, a bench would measure the program of another one."""
    require_tool("gcc", "gcc")
    assert shop.build("rivals/floor.c", name="test-of-names") == shop.build("rivals/floor.c", name="test-of-names")
    with pytest.raises(ValueError, match="two programs of the benches have the name test-of-names"):
        shop.build("rivals/uprobe.c", name="test-of-names")
