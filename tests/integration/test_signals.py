"""A program's use of SIGSEGV, signal masks, timers and single steps is not affected, although htrun needs SIGSEGV."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.run import Htrun, Result
from tests.support.toolchain import Toolchain

GUESTS = Path(__file__).parent / "guests"
_HANGS = 550
"""The time in seconds after which a program hangs. A program that traps under an emulator while a signal arrives every
100 us takes 10 s on a quiet machine, and several minutes beside many other programs."""
WAYS = pytest.mark.parametrize("options", [(), ("--no-patch",)], ids=["patched", "trapping"])


@pytest.fixture
def run(toolchain: Toolchain, htrun: Htrun) -> Runner:
    """Runs a case of hazard_segv."""
    return Runner(toolchain, htrun)


class Runner:
    """Compiles the guest and runs its cases under htrun."""

    def __init__(self, toolchain: Toolchain, htrun: Htrun) -> None:
        self._program = toolchain.compile(GUESTS / "hazard_segv.c", flags=(f"-I{GUESTS}",))
        self._htrun = htrun

    def __call__(self, case: str, options: tuple[str, ...] = (), *before: str) -> Result:
        """Run ``case``, which must succeed with exactly the events that it prints."""
        result = self._htrun.run(*before, self._program, case, options=options, timeout=_HANGS).check()
        assert words(result, "events") == [str(len(result.events))], result.stdout + result.stderr
        return result


def words(result: Result, name: str) -> list[str]:
    """The remainders of the guest's lines that begin with ``name``."""
    return [line.split(" ", 1)[1] for line in result.stdout.splitlines() if line.startswith(f"{name} ")]


@WAYS
@pytest.mark.parametrize(
    "case", ["action_asked", "killing", "reset_hand", "pending", "clear_sighand", "own_faults", "together"]
)
def test_sigsegv_is_the_guests(run: Runner, case: str, options: tuple[str, ...]) -> None:
    """SIGSEGV: the action that the program sees; the cases in which it kills the program; SA_RESETHAND; a signal that
    is pending and blocked; children with CLONE_CLEAR_SIGHAND; faults of the program itself, one after the other;
    threads that trap at the same time, some of which block it."""
    run(case, options)


@WAYS
def test_a_program_that_single_steps_itself(run: Runner, options: tuple[str, ...]) -> None:
    run("stepping", options)


@WAYS
@pytest.mark.parametrize("before", [(), ("qemu-x86_64",)], ids=["native", "qemu"])
def test_a_fast_timer_starves_nobody(run: Runner, before: tuple[str, ...], options: tuple[str, ...]) -> None:
    """A signal with a handler arrives every 100 us."""
    run("fast_timer", options, *before)


def test_masks_are_followed_where_sites_trap(run: Runner) -> None:
    """Otherwise changes of a mask cost nothing: there is one filter for all programs, one for the channel, and a third
    for programs that trap."""
    patched, trapping = run("filters"), run("filters", ("--no-patch",))
    assert words(patched, "filters") == ["2"]
    assert words(trapping, "filters") == ["3"]
