"""The table of system calls."""

from __future__ import annotations

from unittest.mock import MagicMock

import pytest

from htrun import hosts
from htrun.intercept.stopped_call import StoppedCall
from htrun.runner.system_calls import SystemCalls
from htrun.tracee import seccomp
from htrun.tracee.ptrace import Request


@pytest.fixture
def system_calls() -> SystemCalls:
    parts = ("mapping_calls", "masks", "foreign_exec", "follow", "second_tracers", "calls")
    return SystemCalls(MagicMock(), MagicMock(failed=False), **{part: MagicMock() for part in parts})


def test_each_call_that_a_filter_stops_is_handled(monkeypatch: pytest.MonkeyPatch, system_calls: SystemCalls) -> None:
    stopped = set()
    make = seccomp.Rule.__new__

    def noted(
        kind: type[seccomp.Rule], name: str, conditions: tuple[seccomp.Condition | seccomp.Reaches, ...] = ()
    ) -> seccomp.Rule:
        stopped.add(name)
        return make(kind, name, conditions)

    monkeypatch.setattr(seccomp.Rule, "__new__", noted)
    seccomp.mask_filter()
    for end in (0x2000, 1 << 64):
        seccomp.ChannelFilters().between(0x1000, end, process=True)
    tables = (seccomp.TRACER_RULES, seccomp._CHANNEL_RULES_32, seccomp._PROCESSOR_RULES, seccomp._EXEC_RULES)
    stopped |= {rule.name for table in tables for rule in table}
    assert stopped == system_calls.handlers.keys()
    assert stopped <= hosts.current().native.numbers.keys() | hosts.current().compat.numbers.keys()


def test_a_call_that_only_a_filter_of_the_guest_stops(system_calls: SystemCalls) -> None:
    """The data of such a stop may be the same as that of htrun's filters."""
    assert system_calls.handle(StoppedCall(MagicMock(), "close", hosts.current().native, MagicMock())) is Request.CONT


def test_a_call_goes_to_its_handler() -> None:
    masks, mapping_calls = MagicMock(), MagicMock()
    masks.action_called.return_value = None
    table = SystemCalls(
        MagicMock(),
        signals := MagicMock(failed=False),
        mapping_calls=mapping_calls,
        masks=masks,
        foreign_exec=MagicMock(),
        follow=MagicMock(),
        second_tracers=MagicMock(),
        calls=MagicMock(),
    )
    action = StoppedCall(MagicMock(), "rt_sigaction", hosts.current().native, MagicMock())
    assert table.handle(action) is Request.CONT
    masks.action_called.assert_called_once_with(action)
    unmapping = StoppedCall(MagicMock(), "munmap", hosts.current().native, MagicMock())
    table.handle(unmapping)
    mapping_calls.munmap.assert_called_once_with(unmapping)
    signals.mappings_changed.assert_called_once_with(unmapping)
    signals.failed = True
    table.handle(unmapping)
    assert mapping_calls.munmap.call_count == 1


def test_a_redirected_exec_is_seen_to_return() -> None:
    foreign_exec, calls = MagicMock(), MagicMock()
    parts = ("mapping_calls", "masks", "follow", "second_tracers")
    table = SystemCalls(
        MagicMock(), MagicMock(), foreign_exec=foreign_exec, calls=calls, **{part: MagicMock() for part in parts}
    )
    call = StoppedCall(MagicMock(), "execve", hosts.current().native, MagicMock())
    foreign_exec.redirect.return_value = True
    assert table.handle(call) is Request.SYSCALL
    calls.watch.assert_called_once_with(call.thread)
    foreign_exec.redirect.return_value = False
    assert table.handle(call) is Request.CONT
