"""Reports stores of machines that KVM runs. These stores do not trap, so htrun cannot record them as events. It can
only find out that there were stores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from htrun.events.warnings import Kind

if TYPE_CHECKING:
    from htrun.channel.file import Channel
    from htrun.events.warnings import Warnings

_ADVICE = (
    "under KVM, htrun records only what the guest library or the kernel module of this version writes to rings: link "
    "the machine's programs with it, or use -accel tcg"
)


class VirtualMachines:
    """Warns at the end of the run if a machine has emitted events by stores, which htrun could not see, or if no event
    has come from the machine."""

    def __init__(self, channel: Channel, warnings: Warnings) -> None:
        self._channel = channel
        self._warnings = warnings
        self._pid: int | None = None

    def begin(self, pid: int) -> None:
        """Note that KVM runs a machine in process ``pid``, which has just mapped the channel."""
        self._pid = pid
        self._channel.await_stores()

    def finish(self, ring_events: int) -> None:
        """Warn if events of a machine were missed. ``ring_events``: the number of events that came by rings."""
        if self._pid is None:
            return
        if self._channel.stored() is not None:
            message = f"the machine of process {self._pid} has emitted events by stores, which were not seen: {_ADVICE}"
        elif not ring_events:
            message = f"no event came from the machine of process {self._pid}: {_ADVICE}"
        else:
            return
        self._warnings.warn(Kind.UNSEEN, "", message)
