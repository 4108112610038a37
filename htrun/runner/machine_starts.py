"""Handles the starts of machines by programs of a run. Only one machine at a time may have the channel as its
device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from htrun.errors import HtrunError
from htrun.events.warnings import Kind, Warnings
from htrun.intercept.guest import Machine
from htrun.launch.system import Device, is_virtualized, runs_machine, uses_device, with_device

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from htrun.intercept.guest import Process
    from htrun.runner.virtual_machines import VirtualMachines


class MachineStarts:
    """Adds the device to machines that are started, and warns about machines that can't have it.

    Programs under the same kernel choose different indexes of the channel: each locks its index in the channel's file.
    Two machines, or a machine and its host, have different kernels. These do not see each other's locks, so their
    programs would choose the same indexes.
    """

    def __init__(
        self,
        device: Device,
        processes: Callable[[], Iterable[Process]],
        virtual: VirtualMachines,
        warnings: Warnings,
        *,
        add: bool,
    ) -> None:
        """``processes``: returns all processes that are alive. ``virtual``: is notified of machines that KVM runs.
        ``add``: whether machines get the device."""
        self._device = device
        self._add = add
        self._processes = processes
        self._virtual = virtual
        self._warnings = warnings
        self._starting: set[int] = set()
        self._any = False

    def arguments(self, pid: int, emulator: str, argv: Sequence[str]) -> Sequence[str]:
        """The command line with which process ``pid`` must start ``emulator``, instead of ``argv``. Warns and raises
        HtrunError if the machine can't have the device."""
        try:
            words = with_device(argv, self._device, add=self._add, emulator=emulator)
            if uses_device(words, self._device):
                self._refuse_second(pid)
                self._starting.add(pid)
        except HtrunError as error:
            self._warnings.warn(
                Kind.NO_DEVICE,
                pid,
                f"process {pid} starts a machine without the hypertrace device, so its events are not "
                f"recorded: {error}",
            )
            raise
        return words

    def failed(self, pid: int) -> None:
        """Note that the exec of process ``pid`` has failed."""
        self._starting.discard(pid)

    def mapped(self, pid: int) -> Machine:
        """Handle process ``pid``, which has just mapped the channel. Returns how it runs a machine, if it does. Warns
        if processes share the channel but can't see each other's locks."""
        machine = runs_machine(pid)
        self._starting.discard(pid)
        self._any = self._any or machine
        if not self._any:
            return Machine.NONE
        for other in self._processes():
            if other.pid != pid and other.space.has_channel and (machine or other.space.machine):
                self._warn_of_sharing(pid, other.pid)
                break
        if not machine:
            return Machine.NONE
        if not is_virtualized(pid):
            return Machine.TRANSLATED
        self._virtual.begin(pid)
        return Machine.VIRTUALIZED

    def _refuse_second(self, pid: int) -> None:
        for other in self._processes():
            starting = other.pid in self._starting
            if other.pid != pid and (starting or (other.space.machine and other.space.has_channel)):
                raise HtrunError(
                    f"the machine of process {other.pid} has the device, and two machines would overwrite each other's "
                    "arguments: start this machine under another htrun"
                )

    def _warn_of_sharing(self, pid: int, other: int) -> None:
        self._warnings.warn(
            Kind.SHARED_CHANNEL,
            "",
            f"processes {other} and {pid} share the channel, and one of them is a machine: if both choose the same "
            "index, each overwrites the other's arguments. Run the machine under another htrun",
        )
