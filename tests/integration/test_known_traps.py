"""Sites that keep trapping: the machine code that handles a known trap never mistakes another trap for it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.run import Htrun, Result, changed_htrun
from tests.support.toolchain import Toolchain

GUEST = Path(__file__).parent / "guests" / "known_traps.c"
MANY = 300
"""The same number as in the guest."""

Run = Callable[[str], Result]


@pytest.fixture
def run(toolchain: Toolchain, htrun: Htrun) -> Run:
    """Runs the guest in one of its modes without patches; every event has its own number and index."""
    guest = toolchain.compile(GUEST)

    def run(mode: str) -> Result:
        result = htrun.run(guest, mode, options=("--no-patch",)).check()
        traps = sum(site["traps"] for site in result.summary["sites"])
        assert traps == result.summary["traps"], "each trap is counted for its site as well"
        return result

    return run


def check_in_order(result: Result, count: int) -> None:
    assert [event.args[0] for event in result.events] == list(range(count))
    assert [event.index for event in result.events] == [event.args[1] for event in result.events]


def test_one_site_again_and_again(run: Run) -> None:
    result = run("many")
    check_in_order(result, MANY)
    assert result.summary["traps"] == MANY + 1, "and the library's hello"


def test_code_that_is_rewritten_between_traps(run: Run) -> None:
    """Each time there is another store at the same address; only its bytes differ."""
    result = run("rewritten")
    check_in_order(result, 6 * MANY)
    assert [event.index for event in result.events] == [1, 2, 3, 4, 5, 6] * MANY


def test_sigsegv_is_blocked_and_unblocked_between_traps(run: Run) -> None:
    result = run("blocked")
    check_in_order(result, 7 * MANY)
    assert result.stdout == "blocked 1\nblocked 0\n" * 3 + "caught\n"


def test_signals_whose_handlers_trap_at_the_same_site(run: Run) -> None:
    check_in_order(run("signals"), 10 * MANY)


def test_forked_children_trap_at_their_copy_of_the_site(run: Run) -> None:
    result = run("forks")
    check_in_order(result, 8 * MANY)
    assert len({event.tid for event in result.events}) == 5


def test_an_index_that_is_none_amid_others(run: Run) -> None:
    result = run("wild")
    check_in_order(result, MANY)
    assert result.summary["warnings"] == {"wild-index": MANY}


def test_a_channel_that_moves(run: Run) -> None:
    """After that, a store to its old address is an ordinary fault of the guest."""
    result = run("moved")
    check_in_order(result, 2 * MANY)
    assert result.stdout == "caught\n"


def test_two_threads_at_one_site(run: Run) -> None:
    result = run("threads")
    events_of = {
        client: [e for e in result.events if e.args[1] == client] for client in {e.index for e in result.events}
    }
    assert len(events_of) == 2
    for events in events_of.values():
        assert [event.args[0] for event in events] == list(range(10 * MANY))
        assert len({event.tid for event in events}) == 1


_COUNTING = """
import os
from htrun.intercept.traps import Traps

handle = Traps.handle

def counting(self, thread):
    os.write(2, b".")
    return handle(self, thread)

Traps.handle = counting
"""


def test_hardly_a_trap_needs_the_interpreter(toolchain: Toolchain, htrun: Htrun) -> None:
    guest = toolchain.compile(GUEST)
    counting = changed_htrun(htrun.directory, _COUNTING)
    command: list[str | Path] = [counting, *htrun.command("--no-patch")[1:], str(guest), "many"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
    assert set(done.stderr) == {"."}
    assert len(done.stderr) < MANY / 10
