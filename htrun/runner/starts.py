"""The ways in which a run gets its tracees, and ends them.

Today there is one way: htrun launches a program. All differences between ways are in the methods of `Start`, so that
the rest of a run does not depend on the way.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from htrun.launch.environment import guest_environment
from htrun.launch.launcher import Launcher, Program
from htrun.runner.wanted_calls import calls_to_record
from htrun.tracee import seccomp, spawn

if TYPE_CHECKING:
    from htrun.channel.file import Channel
    from htrun.launch.program import Launch
    from htrun.runner.ending import Ending
    from htrun.runner.options import RunOptions
    from htrun.runner.tracees import Tracees
    from htrun.tracee.first_process import FirstProcess


class Start(Protocol):
    """A way in which a run gets its tracees."""

    def seize(self) -> None:
        """Become the tracer. If this raises `HtrunError`, nothing has changed."""

    def go(self) -> None:
        """Let the tracees run. Modules for which they need not wait are imported after this."""

    def first_process(self) -> FirstProcess:
        """The process whose death htrun holds."""

    def ending(self, tracees: Tracees) -> Ending:
        """The object that ends the run when htrun is asked to."""


class LaunchedProgram(Start):
    """The launcher's process becomes the program. It is killed when the tracer exits or is asked to end."""

    def __init__(self, options: RunOptions, launch: Launch, launcher: Launcher, channel: Channel) -> None:
        environment = launcher.environment()
        if channel.reachable:
            environment = guest_environment(environment, os.fsencode(channel.path))
        self._launcher = launcher
        self._program = Program(
            launch.executable,
            launch.argv,
            environment,
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
