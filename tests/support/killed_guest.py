"""Kills a guest while it emits events."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from tests.support.run import Htrun, LogEvent


def killed_while_it_emits(program: Path, htrun: Htrun, options: tuple[str, ...]) -> list[LogEvent]:
    """Run guests/exact_killed.c under htrun with ``options``, and kill it after at least 500 events. Returns the events
    in the log, after checking that the log contains every event, in order."""
    with subprocess.Popen(
        [*htrun.command(*options), str(program)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stderr
        told = [int(process.stdout.readline()) for _ in range(5)]
        os.kill(process.pid, signal.SIGKILL)
        told += [int(line) for line in process.stdout.read().splitlines()]
        assert process.stderr.read() == ""
        assert process.wait(timeout=240) == -signal.SIGKILL
    events = [LogEvent.parse(line) for line in (htrun.directory / "log").read_text().splitlines()]
    assert [event.args[1] for event in events] == list(range(len(events)))
    # The guest prints a message after every 100 events. After its last message it may have emitted up to 100 more
    # events.
    assert told[-1] <= len(events) <= told[-1] + 100
    return events
