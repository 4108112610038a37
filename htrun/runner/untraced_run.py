"""The recorder's side of a run without ptrace. The recorder empties the rings, and the supervisor reports the end of
the run."""

from __future__ import annotations

import os
import select
import signal
from typing import TYPE_CHECKING, Any

from htrun.channel.file import NO_INDEX
from htrun.events.warnings import Kind
from htrun.runner import supervisor
from htrun.runner.client_lives import ClientLives
from htrun.runner.client_threads import watch_rings
from htrun.runner.machine_exchange import clock_of_machines, machine_exchange
from htrun.runner.recorded_run import RecordedRun

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from htrun.channel.file import Channel
    from htrun.rings.client_rings import ClientRings
    from htrun.runner.clocks import Clocks
    from htrun.runner.options import RunOptions
    from htrun.runner.outputs import Outputs
    from htrun.runner.starts import SupervisorLink

_PAUSE = 15
"""The time in milliseconds between two checks of the owners of rings."""
_QUIET_PAUSE = 50
"""The time in milliseconds between two checks, after many checks without a change."""
_MANY_LOOKS = 600


class UntracedRun(RecordedRun):
    """A run of a program that records its events itself."""

    def __init__(
        self, link: SupervisorLink, clocks: Clocks, options: RunOptions, channel: Channel, outputs: Outputs
    ) -> None:
        super().__init__(options, channel, outputs, clocks.clock)
        self._link = link
        self._poll = select.poll()
        self._poll.register(link.messages, select.POLLIN)
        if link.process is not None:
            self._poll.register(link.process, select.POLLIN)
        self._unread = b""
        self._status = int(signal.SIGKILL)
        """The program's wait status. If the supervisor is killed, the program dies, too: hence the initial value."""
        self._over = False
        self._supervised = True
        self._lives = ClientLives(self._recording.drain.add_stream, self._poll)
        self._rings: ClientRings | None = None
        self._recording.own_names.starts(outputs.programs)
        if channel.rings is not None:
            source_of = self._lives.source_of
            self._rings = watch_rings(channel, self._recording, self._warnings, source_of, clocks.of_clients)
            # htrun cannot know whether a virtual machine will use the channel, so it always prepares the exchange.
            self._rings.exchange = machine_exchange(channel, self._recording.clock, self._warnings, clocks.asked)

    def run(self) -> None:
        """Record events until no process of the run is left or, if the supervisor was killed, until no process that has
        had a ring is left."""
        quiet = 0
        while not self._over:
            found = self._poll.poll(_PAUSE if quiet < _MANY_LOOKS else _QUIET_PAUSE)
            for descriptor, _ in found:
                self._ready(descriptor)
            changed = self._rings is not None and self._lives.look(self._rings)
            quiet = 0 if found or changed else quiet + 1
            if self._link.process is None and self._supervised:
                self._supervised = os.path.exists(f"/proc/{self._link.launcher.pid}")
            self._over = self._over or (not self._supervised and not self._lives.any_alive)

    def end(self) -> None:
        """Have the supervisor kill all processes of the run."""
        os.write(self._link.launcher.descriptor, supervisor.KILL)

    def _ready(self, descriptor: int) -> None:
        if descriptor == self._link.messages:
            self._read_messages()
        elif descriptor == self._link.process:
            self._poll.unregister(descriptor)
            self._supervised = False
        elif self._rings is not None:
            self._lives.died(descriptor, self._rings)

    def _read_messages(self) -> None:
        read = os.read(self._link.messages, 4096)
        if not read:
            self._poll.unregister(self._link.messages)
        self._unread += read
        while self._unread:
            kind, rest = self._unread[:1], self._unread[1:]
            if kind == supervisor.OPENED:
                os.close(self._link.written_to)
            elif kind == supervisor.DIED:
                if len(rest) < supervisor.STATUS.size:
                    return
                self._status = supervisor.STATUS.unpack_from(rest)[0]
                rest = rest[supervisor.STATUS.size :]
            else:
                self._over = True
            self._unread = rest

    def _steps_after_recording(self) -> Sequence[Callable[[], None]]:
        return (self._warn_of_stores,)

    def _warn_of_stores(self) -> None:
        """Warn about stores to the control region. Only a tracer could have recorded these events."""
        stored, clients = self._channel.stored(), self._options.layout.max_clients
        if stored is None:
            return
        if stored < clients or stored == NO_INDEX:
            self._warnings.warn(
                Kind.UNSEEN,
                "",
                "a program has emitted events by stores. They are not recorded, because this needs ptrace. Its guest "
                "library is too old for rings or could not use one, or it has no library; run it without --no-ptrace",
            )
        else:
            self._warnings.warn(Kind.WILD_INDEX, stored, f"an event had index {stored}; indexes are below {clients}")

    def _account(self) -> dict[str, Any]:
        return {
            "traps": 0,
            "machine_clock": clock_of_machines(self._rings, self._recording.clock),
            "sites": [],
            "processes": max(self._lives.processes_seen, 1),
            "threads": max(self._lives.threads_seen, 1),
            "exit_status": os.waitstatus_to_exitcode(self._status),
        }
