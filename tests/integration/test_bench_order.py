"""hypertrace bench runs the programs that it compares in random order; comparisons exchange only runs of a block."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from htrun.analysis.timing.permutation import shift
from htrun.analysis.timing.run_order import RunOrder
from tests.support.hypertrace import hypertrace, said

RUNS = 5
SEED = 7
SHORT = ("bench", "--warmup", "0", "--runs")
BOTH = ("--vs", "./app b", "--", "./app", "a")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with a program that writes its argument to the file ``order`` if it runs without htrun."""
    (tmp_path / "app").write_text('#!/bin/sh\n[ -n "$HYPERTRACE" ] || printf %s "$1" >>order\n')
    (tmp_path / "app").chmod(0o755)
    return tmp_path


def bench(directory: Path, runs: int, *arguments: str) -> dict[str, Any]:
    """The JSON of a bench with so many runs."""
    command = (*SHORT, str(runs), "--json", "-", *arguments)
    found: dict[str, Any] = json.loads(hypertrace(*command, directory=directory).stdout)
    return found


def ran(directory: Path) -> str:
    """The arguments of the runs since the last call, in order."""
    order = (directory / "order").read_text()
    (directory / "order").unlink()
    return order


def in_order(seed: int, sizes: Sequence[int]) -> str:
    return "".join("ab"[side] for _, side in RunOrder("", seed, tuple(sizes)).turns(2))


def test_a_seed_repeats_the_order(directory: Path) -> None:
    told = bench(directory, RUNS, "--seed", str(SEED), *BOTH)
    assert told["seed"] == SEED
    assert ran(directory) == in_order(SEED, [RUNS])
    chosen = bench(directory, RUNS, *BOTH)["seed"]
    assert ran(directory) == in_order(chosen, [RUNS])
    text = hypertrace(*SHORT, "1", "--seed", str(SEED), *BOTH, directory=directory).stdout
    assert f"\nin random order (--seed {SEED})\n" in text


def test_further_runs_form_further_blocks(directory: Path) -> None:
    """Only runs of the same block are exchanged, also if the comparison is repeated from JSON."""
    kept = ("--seed", str(SEED), "-o", "kept")
    bench(directory, RUNS, *kept, *BOTH)
    more = bench(directory, RUNS + 3, *kept, *BOTH)
    assert ran(directory) == in_order(SEED, [RUNS, 3])
    blocks = {side: [run["block"] for run in more[side]["whole_program"]["each"]] for side in "ab"}
    assert blocks["a"] == blocks["b"]
    assert [blocks["a"].count(block) for block in dict.fromkeys(blocks["a"])] == [RUNS, 3]
    places = [list(dict.fromkeys(blocks["a"])).index(block) for block in blocks["a"]]
    logarithms = [[math.log(run["wall"]) for run in more[side]["whole_program"]["each"]] for side in "ab"]
    exact = shift(logarithms[0], logarithms[1], 0.05, (places, places)).probability
    assert more["whole_program"]["probability"] == pytest.approx(exact)
    (directory / "more.json").write_text(json.dumps(more))
    again = json.loads(hypertrace("compare", "more.json", "--json", "-", directory=directory).stdout)
    assert again["whole_program"] == more["whole_program"]


def test_the_order_of_other_runs_is_not_relied_on(directory: Path) -> None:
    """The runs of A were made before those of B, by another bench."""
    bench(directory, 2, "-o", "kept", "--", "./app", "a")
    told = bench(directory, 4, "-o", "kept", *BOTH)
    assert not any("block" in run for side in "ab" for run in told[side]["whole_program"]["each"])
    assert not (directory / "kept" / "b" / "order.json").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--seed", "3", "--", "true"), "--seed determines the order of several programs: give --vs or --matrix"),
        (("--seed", "8", "-o", "kept", *BOTH), "kept contains runs in the order of --seed 7; give this seed"),
    ],
)
def test_a_seed_that_has_no_use_is_refused(directory: Path, arguments: Sequence[str], words: str) -> None:
    RunOrder("x", SEED, (1,)).store(_made(directory / "kept" / "a"))
    RunOrder("x", SEED, (1,)).store(_made(directory / "kept" / "b"))
    assert words in said(*SHORT, "1", *arguments, status=125, directory=directory)


def test_a_damaged_order_is_refused(directory: Path) -> None:
    for side in "ab":
        _made(directory / "kept" / side).joinpath("order.json").write_text("[]\n")
    refusal = said(*SHORT, "1", "-o", "kept", *BOTH, status=125, directory=directory)
    assert "order.json does not contain the order of the runs of a bench; remove it" in refusal


def _made(directory: Path) -> Path:
    directory.mkdir(parents=True)
    return directory
