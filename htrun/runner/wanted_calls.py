"""Selects the system calls that a run records, in the form that the run's seccomp filters need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from htrun.tracee import seccomp

if TYPE_CHECKING:
    from htrun.runner.options import RunOptions


def calls_to_record(options: RunOptions) -> seccomp.RecordedCalls:
    """The calls to record. The program's seccomp filter must stop at each of them."""
    if not options.calls_recorded:
        return seccomp.NO_CALLS
    if options.syscalls is None:
        return seccomp.RecordedCalls(None)
    from htrun.events.syscalls import ARCH_I386, ARCH_X86_64, table

    tables = {arch: table(arch).numbers for arch in (ARCH_X86_64, ARCH_I386)}
    return seccomp.RecordedCalls(
        {
            arch: frozenset(numbers[name] for name in options.syscalls & numbers.keys())
            for arch, numbers in tables.items()
        }
    )
