"""Benches run alternately, and one that cannot run does not stop the others."""

from __future__ import annotations

from bench.disturbance import Undisturbed
from bench.model import Run
from bench.outcome import FailedError, Sample, UnavailableError
from bench.results import Status
from bench.runner import run_group
from tests.unit.bench.fakes import GROUP, PROBED, Fake, bursts


def quiet(line: str) -> None:
    assert line


def recording(name: str, log: list[str]) -> Run:
    def run() -> Sample:
        log.append(name)
        return Sample(len(log))

    return run


def test_benches_run_in_turn() -> None:
    log: list[str] = []
    benches = [Fake("a", recording("a", log)), Fake("b", recording("b", log))]
    first, second = run_group(GROUP, benches, quick=False, tell=quiet)
    assert log == ["a", "b", "a", "b", "a", "b"]
    assert (first.values, second.values) == ([1, 3, 5], [2, 4, 6])


def test_a_quick_run_has_fewer_rounds() -> None:
    log: list[str] = []
    run_group(GROUP, [Fake("a", recording("a", log))], quick=True, tell=quiet)
    assert log == ["a", "a"]


def test_a_bench_that_cannot_run_is_skipped_with_its_reason() -> None:
    def prepare() -> None:
        raise UnavailableError("no such kernel")

    log: list[str] = []
    benches = [Fake("a", recording("a", log), prepare), Fake("b", recording("b", log))]
    skipped, measured = run_group(GROUP, benches, quick=False, tell=quiet)
    assert (skipped.status, skipped.reason, skipped.values) == (Status.SKIPPED, "no such kernel", [])
    assert (measured.status, log) == (Status.MEASURED, ["b", "b", "b"])


def test_a_bench_that_fails_once_is_out() -> None:
    log: list[str] = []

    def run() -> Sample:
        log.append("a")
        if len(log) > 2:
            raise FailedError("lost an event")
        return Sample(1)

    failed, measured = run_group(GROUP, [Fake("a", run), Fake("b", recording("b", log))], quick=False, tell=quiet)
    assert log == ["a", "b", "a", "b", "b"]
    assert (failed.status, failed.reason, failed.samples) == (Status.FAILED, "lost an event", ())
    assert measured.status is Status.MEASURED


class Emulated(Fake):
    machine = "an emulator"


def test_bursts_are_told_apart_by_the_best_probe_of_all_benches_and_rounds_on_one_machine() -> None:
    """The second bench always shared the core with others. Only a comparison with the probes of the first bench shows
    this."""
    free = Fake("free", lambda: bursts(*[(10, 0.61)] * 2, (15, 0.9)))
    shared = Fake("shared", lambda: bursts(*[(16, 0.9)] * 3))
    emulated = Emulated("emulated", lambda: bursts(*[(30, 2.5)] * 3))
    found = [result.undisturbed for result in run_group(PROBED, [free, shared, emulated], quick=False, tell=quiet)]
    assert found == [Undisturbed(6, 9, 10), Undisturbed(0, 9, None), Undisturbed(9, 9, 30)]


def test_a_bench_without_bursts_is_told_nothing_of_them() -> None:
    fakes = [Fake("plain", lambda: Sample(1)), Fake("bursts", lambda: bursts((10, 0.6)))]
    assert [each.undisturbed for each in run_group(GROUP, fakes, quick=True, tell=quiet)] == [None, None]
    plain, probed = run_group(PROBED, fakes, quick=True, tell=quiet)
    assert (plain.undisturbed, probed.undisturbed) == (None, Undisturbed(2, 2, None))
