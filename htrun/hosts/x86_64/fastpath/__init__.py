"""Machine code that handles stops and writes the records of channels and of recorded calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from htrun.hosts.stops import CallRecording, Slots
    from htrun.hosts.trap_run import TrapRun
    from htrun.hosts.x86_64.fastpath.call_wait import CallWait
    from htrun.hosts.x86_64.fastpath.trap_wait import TrapWait
    from htrun.tracee.code_ranges import CodeRanges


class MachineCode:
    """The machine code for x86-64. See `htrun.hosts.fastpath.FastPath` for the methods."""

    def trap_wait(self, slots: Slots, code: CodeRanges, *, record_size: int, run: TrapRun, in_one_go: bool) -> TrapWait:
        """See `FastPath`."""
        from htrun.hosts.x86_64.fastpath.known_traps import KnownTraps
        from htrun.hosts.x86_64.fastpath.trap_wait import TrapWait
        from htrun.hosts.x86_64.registers import Registers

        registers = Registers()
        known = KnownTraps(registers, slots, code, record_size=record_size, run=run, in_one_go=in_one_go)
        return TrapWait(registers, known)

    def call_wait(self, recording: CallRecording) -> CallWait:
        """See `FastPath`."""
        from htrun.hosts.x86_64.fastpath.call_wait import CallWait

        return CallWait(recording)


FAST_PATH = MachineCode()
