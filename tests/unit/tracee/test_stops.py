"""A wait status is decoded to the stop that ptrace(2) describes."""

from __future__ import annotations

import signal

import pytest

from htrun.tracee import stops
from htrun.tracee.stops import PtraceEvent, decode

_EVENTS = [event for event in PtraceEvent if event is not PtraceEvent.STOP]


def _stopped(number: int, event: int = 0) -> int:
    return event << 16 | number << 8 | 0x7F


@pytest.mark.parametrize(
    ("status", "stop"),
    [
        (0, stops.Exited(7, 0)),
        (255 << 8, stops.Exited(7, 255)),
        (signal.SIGKILL, stops.Killed(7, signal.SIGKILL)),
        (signal.SIGSEGV | 0x80, stops.Killed(7, signal.SIGSEGV)),
        (_stopped(signal.SIGUSR1), stops.SignalStop(7, signal.SIGUSR1)),
        (_stopped(signal.SIGSTOP), stops.SignalStop(7, signal.SIGSTOP)),
        (_stopped(signal.SIGTRAP), stops.SignalStop(7, signal.SIGTRAP)),
        (_stopped(64), stops.SignalStop(7, 64)),
        (_stopped(signal.SIGTRAP | 0x80), stops.SyscallStop(7)),
        (_stopped(signal.SIGSTOP, 128), stops.GroupStop(7, signal.SIGSTOP)),
        (_stopped(signal.SIGTTOU, 128), stops.GroupStop(7, signal.SIGTTOU)),
        (_stopped(signal.SIGTRAP, 128), stops.InterruptStop(7)),
        *[(_stopped(signal.SIGTRAP, event.value), stops.EventStop(7, event)) for event in _EVENTS],
    ],
)
def test_decode(status: int, stop: stops.Stop) -> None:
    found = decode(7, status)
    assert (type(found), found) == (type(stop), stop)


def test_the_status_of_a_trap() -> None:
    assert decode(7, stops.SEGV_STOPPED) == stops.SignalStop(7, signal.SIGSEGV)
