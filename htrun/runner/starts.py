"""The ways in which a run gets its processes and ends them.

There are two ways: htrun traces the process that becomes the program (`LaunchedProgram`), or it supervises a child that
becomes the program (`UntracedProgram`).
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, Protocol

from htrun.launch.environment import guest_environment, with_descriptor
from htrun.launch.launcher import Launcher, Program, Supervision
from htrun.runner.wanted_calls import calls_to_record
from htrun.tracee import seccomp, spawn

if TYPE_CHECKING:
    from htrun.channel.file import Channel
    from htrun.launch.program import Launch
    from htrun.runner.ending import Ending
    from htrun.runner.options import RunOptions
    from htrun.runner.tracees import Tracees
    from htrun.tracee.first_process import FirstProcess

_MOST_DESCRIPTOR = 99
"""The greatest descriptor number that htrun chooses. Scripts use numbers below 10, and bash uses 255 itself."""


class Start(Protocol):
    """The start of a run's processes."""

    def seize(self) -> None:
        """Become the tracer, if the program is traced. Raises `HtrunError` if this fails; nothing has changed then."""

    def go(self) -> None:
        """Let the processes run: everything is ready. Modules that the processes need not wait for are imported
        later."""


class TracedStart(Start, Protocol):
    """The start of a run whose processes are traced."""

    def first_process(self) -> FirstProcess:
        """The process whose death htrun delays until all records are written."""

    def ending(self, tracees: Tracees) -> Ending:
        """The object that ends the run on request."""


class LaunchedProgram(TracedStart):
    """The launcher's process becomes the program. It is killed when the tracer exits, or when the tracer is requested
    to end the run."""

    def __init__(self, options: RunOptions, launch: Launch, launcher: Launcher, channel: Channel) -> None:
        self._launcher = launcher
        self._program = Program(
            launch.executable,
            launch.argv,
            _environment(launcher, channel),
            seccomp.first_filter(calls_to_record(options), channel=options.channel_recorded),
            options.processors,
        )
        self._big_endian = bool(launch.guest and launch.guest.big_endian)

    def seize(self) -> None:
        """Become the tracer of the launcher, which waits until it may become the program."""
        spawn.seize(self._launcher.pid)

    def go(self) -> None:
        """Let the launcher become the program."""
        self._launcher.become(self._program)

    def first_process(self) -> FirstProcess:
        """The process of the program."""
        from htrun.tracee.first_process import FirstProcess

        return FirstProcess(self._launcher.pid, big_endian=self._big_endian)

    def ending(self, tracees: Tracees) -> Ending:
        """The object that kills all tracees."""
        from htrun.runner.ending import Killing

        return Killing(tracees)


class SupervisorLink(NamedTuple):
    """The recorder's connections to the supervisor.

    ``launcher``: the process that becomes the supervisor, and the pipe to it. ``process``: a pidfd of that process;
    None before Linux 5.3. ``messages``: the end of a pipe from which the recorder reads what the supervisor writes.
    ``written_to``: the other end of this pipe, which the supervisor opens itself.
    """

    launcher: Launcher
    process: int | None
    messages: int
    written_to: int


class UntracedProgram(Start):
    """A child of the launcher becomes the program, and the launcher becomes its supervisor
    (`htrun.runner.supervisor`)."""

    def __init__(self, options: RunOptions, launch: Launch, launcher: Launcher, channel: Channel) -> None:
        from htrun.runner import supervisor
        from htrun.runner.clocks import Clocks

        self.clocks = Clocks.read(channel)
        """Read now, because the program runs before the recorder is ready."""
        channel.await_stores()
        self._launcher = launcher
        self._process: int | None = None
        self._messages, self._written_to = os.pipe()
        descriptor = _unused_descriptor(launcher.pid)
        self._program = Program(
            launch.executable,
            launch.argv,
            with_descriptor(_environment(launcher, channel), descriptor),
            b"",
            options.processors,
            Supervision(
                f"{supervisor.OPTION}{os.getpid()},{self._written_to},",
                f"/proc/{os.getpid()}/fd/{channel.descriptor}",
                descriptor,
            ),
        )

    def seize(self) -> None:
        """Open a pidfd of the launcher; nothing is traced. The launcher still waits, so its id cannot belong to another
        process."""
        # There are no pidfds before Linux 5.3, and the launcher may have been killed.
        with suppress(OSError):
            self._process = os.pidfd_open(self._launcher.pid)

    def go(self) -> None:
        """Let a child of the launcher become the program."""
        self._launcher.become(self._program)

    def link(self) -> SupervisorLink:
        """The recorder's connections to the supervisor."""
        return SupervisorLink(self._launcher, self._process, self._messages, self._written_to)


def _environment(launcher: Launcher, channel: Channel) -> list[bytes]:
    """The environment of the program."""
    environment = launcher.environment()
    return guest_environment(environment, os.fsencode(channel.path)) if channel.reachable else environment


def _unused_descriptor(pid: int) -> int:
    """A descriptor number that is not used in process ``pid``, and is not used by shells either."""
    import resource

    try:
        most = min(resource.prlimit(pid, resource.RLIMIT_NOFILE)[0], _MOST_DESCRIPTOR + 1)
        used = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    except OSError:
        # The process has died.
        most, used = _MOST_DESCRIPTOR + 1, set()
    return next((number for number in reversed(range(most)) if number not in used), most)
