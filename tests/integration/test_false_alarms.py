"""The examples of docs/timing.md compare a program with itself: a difference that they find is a false alarm.

``HTRUN_ALARM_TRIALS=1000`` makes 1,000 comparisons of each kind.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
from contextlib import nullcontext
from itertools import combinations, cycle, islice
from pathlib import Path

import pytest
from scipy import stats

from htrun.commands.hypertrace import main
from tests.support.busy import busy_loops
from tests.support.documents import fenced
from tests.support.run import HTRUN
from tests.support.toolchain import Toolchain

GUESTS = Path(__file__).parent / "guests"
TRIALS = int(os.environ.get("HTRUN_ALARM_TRIALS", "50"))
RUNS, OF_EACH = 16, 5
ALARMS = int(stats.binom.isf(4e-7, TRIALS, 0.05 / 2))
"""Each trial assigns runs at random, so on any machine, a false alarm in a given direction has a probability of at most
2.5%. More than 9 false alarms in 50 trials have a probability of 4e-7. On an idle machine there are none, because runs
differ by less than 5%."""


@pytest.fixture(scope="module", params=[nullcontext, busy_loops], ids=["quiet", "busy"])
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, toolchain: Toolchain) -> list[Path]:
    """The JSON of runs of one program, recorded as in the document, on an idle machine or together with busy loops."""
    with request.param():
        return recorded(tmp_path_factory, toolchain)


def recorded(tmp_path_factory: pytest.TempPathFactory, toolchain: Toolchain) -> list[Path]:
    directory = tmp_path_factory.mktemp("runs")
    guest = toolchain.compile(GUESTS / "timed_jobs.c")
    (directory / "events.toml").write_text(fenced("timing.md", "toml")[0])
    found = []
    for number in range(RUNS):
        options = ("--events", directory / "events.toml", "-o", directory / f"{number}")
        environment = os.environ | {"HYPERTRACE_CALIBRATE": "1000"}
        subprocess.run([HTRUN, "-q", *options, guest], env=environment, check=True, stdout=subprocess.DEVNULL)
        found.append(directory / f"{number}.json")
        assert main(["stat", str(directory / f"{number}"), "--no-histograms", "--json", str(found[-1])]) == 0
    return found


def compare(capsys: pytest.CaptureFixture[str], one: list[Path], other: list[Path]) -> tuple[int, str]:
    """The exit status with --fail-on +5%, and the verdict."""
    capsys.readouterr()
    words = ["compare", *map(str, one), "--vs", *map(str, other), "--fail-on", "+5%", "--json", "-"]
    status = main(words)
    [span] = json.loads(capsys.readouterr().out)["spans"]
    return status, span["verdict"]


@pytest.mark.heavy("records many runs; test_false_alarms.py of the unit tests makes them up")
def test_single_traces_never_give_an_alarm(runs: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    for one, other in islice(cycle(combinations(runs, 2)), TRIALS):
        assert compare(capsys, [one], [other]) == (0, "no verdict")


@pytest.mark.heavy("records many runs; test_false_alarms.py of the unit tests makes them up")
def test_sets_of_runs_give_no_more_alarms_than_chance_permits(
    runs: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    generator = random.Random(1)
    alarms = 0
    for _ in range(TRIALS):
        drawn = generator.sample(runs, 2 * OF_EACH)
        status, verdict = compare(capsys, drawn[:OF_EACH], drawn[OF_EACH:])
        assert (status == 3) <= (verdict == "slower")
        alarms += status == 3
    print(f"{alarms} of {TRIALS} comparisons gave an alarm")
    assert alarms <= ALARMS
