"""After a few signals, the machine code handles signals, whether or not the program emits."""

from __future__ import annotations

import os
from unittest.mock import MagicMock, create_autospec

from htrun.hosts.fastpath import TrapWait
from htrun.intercept.guest import StoppedThread
from htrun.runner.signal_stops import SignalStops
from htrun.tracee.wait import Waiter

SIGUSR1 = 10


def signal_stops(waiter: Waiter, wait: TrapWait, made: list[TrapWait]) -> SignalStops:
    def make_wait() -> TrapWait:
        made.append(wait)
        return wait

    masks = MagicMock()
    masks.must_see_handler.return_value = False
    return SignalStops(
        waiter,
        make_wait=make_wait,
        make_traps=MagicMock(),
        mapping_calls=MagicMock(),
        masks=masks,
        follow=MagicMock(),
        calls=MagicMock(),
        recording_failed=MagicMock(),
    )


def stopped_thread() -> StoppedThread:
    stopped: StoppedThread = MagicMock()
    stopped.thread.tid = os.getpid()
    stopped.thread.space.arena = None
    stopped.thread.signals.entering_handler = False
    stopped.thread.process.masks.followed = False
    return stopped


def test_many_signals_are_let_through_by_machine_code() -> None:
    waiter, wait, made = create_autospec(Waiter, instance=True), MagicMock(), list[TrapWait]()
    signals = signal_stops(waiter, wait, made)
    for number in range(20):
        signals.deliver(stopped_thread(), SIGUSR1)
        assert bool(made) == (number >= 7)
    assert made == [wait]
    waiter.expect_traps.assert_called_once_with(wait)
    wait.known.let_signals_through.assert_called_with(os.getpid())
    # A new thread with the same id has a separate count.
    signals.ended(os.getpid())
    wait.known.look_at_signals.assert_called_once_with(os.getpid())


def test_a_thread_whose_mask_is_followed_is_looked_at() -> None:
    waiter, wait = create_autospec(Waiter, instance=True), MagicMock()
    signals = signal_stops(waiter, wait, [])
    for _ in range(20):
        stopped = stopped_thread()
        stopped.thread.process.masks.followed = True
        signals.deliver(stopped, SIGUSR1)
    wait.known.let_signals_through.assert_not_called()
