"""The benches that a command line selects, and the message if it selects none."""

from __future__ import annotations

import pytest

from bench.__main__ import main
from bench.cases import every_bench
from bench.goals import GOALS
from bench.outcome import Sample
from bench.selection import select
from htrun.errors import HtrunError
from tests.unit.bench.fakes import Fake

BENCHES = [Fake(name, lambda: Sample(1)) for name in ("base", "one", "two")]


def chosen(only: str | None) -> list[str]:
    return [bench.name for bench in select(BENCHES, only)]


def test_without_a_choice_all_run() -> None:
    assert chosen(None) == ["base", "one", "two"]


def test_names_groups_and_tags_choose_and_the_baseline_comes_along() -> None:
    assert chosen("two") == ["base", "two"]
    assert chosen("tag-one") == ["base", "one"]
    assert chosen("two,one") == ["base", "one", "two"]
    assert chosen("cost") == ["base", "one", "two"]


@pytest.mark.parametrize("only", ["three", "one,three", "", ","])
def test_a_word_that_names_nothing_is_refused(only: str) -> None:
    with pytest.raises(HtrunError, match="--only: no bench, group or tag"):
        select(BENCHES, only)


def test_the_command_line_says_so_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "nothing-like-it"]) == 125
    assert capsys.readouterr().err.startswith("bench: --only: no bench, group or tag nothing-like-it")


def test_names_are_unique_and_goals_and_baselines_name_benches() -> None:
    benches = every_bench()
    names = {bench.name for bench in benches}
    assert len(names) == len(benches)
    assert {bench.group.baseline for bench in benches} <= names
    assert {name for goal in GOALS for name in (goal.name, goal.over)} <= names
