"""The common base of traced and untraced runs: a recording, outputs, and an account of the run at the end."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from htrun.events.records import RING_SITE
from htrun.events.warnings import Warnings
from htrun.runner.recording import Recording

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from htrun.channel.file import Channel
    from htrun.events.clock import Clock
    from htrun.runner.options import RunOptions
    from htrun.runner.outputs import Outputs


class RecordedRun:
    """One run of a program, from its exec to the exit of the last process."""

    def __init__(self, options: RunOptions, channel: Channel, outputs: Outputs, clock: Clock | None = None) -> None:
        """``clock``: the run's clock; None if the program has no events yet."""
        self._started = time.monotonic_ns()
        self._options = options
        self._channel = channel
        self._outputs = outputs
        self._warnings = Warnings(quiet=options.verbosity < 0, verbose=options.verbosity > 0)
        self._failure: str | None = None
        threading.excepthook = self._thread_failed
        self._recording = Recording(options, outputs, self._warnings, clock)

    def run(self) -> None:
        """Run until the last process has exited."""
        raise NotImplementedError

    def end(self) -> None:
        """End the run: `run` returns soon. May be called from any thread."""
        raise NotImplementedError

    def _facts(self) -> Mapping[str, str | int]:
        """The facts for the trace that were not known at the start of the run."""
        return {}

    def _account(self) -> Mapping[str, Any]:
        """The entries of the summary that depend on the kind of run."""
        raise NotImplementedError

    def _steps_after_recording(self) -> Sequence[Callable[[], None]]:
        """The steps to take at the end of the run, after the last event and before the summary."""
        return ()

    def finish(self) -> None:
        """Write all remaining records, and the summary."""
        steps = (self._describe, self._recording.close, *self._steps_after_recording(), self._write_summary)
        for step in steps:
            try:
                step()
            except Exception as error:
                # Continue with the later steps, which close the outputs and report the failure.
                self._failed(error, "the account of the run is not complete")

    def note_failure(self, error: Exception) -> None:
        """Keep an error that has ended the run, for the summary. The error itself is reported elsewhere."""
        self._failure = self._failure or f"{type(error).__name__}: {error}"

    def _failed(self, error: Exception, consequence: str) -> None:
        self._warnings.failed(error, consequence)
        self.note_failure(error)

    def _thread_failed(self, failure: threading.ExceptHookArgs) -> None:
        """Handle an unexpected error that has ended one of htrun's threads."""
        name = failure.thread.name if failure.thread is not None else "?"
        if isinstance(failure.exc_value, Exception):
            self._failed(failure.exc_value, f"htrun's thread {name} has ended")

    def _describe(self) -> None:
        if self._options.trace is not None:
            self._recording.describe(self._facts())

    def _write_summary(self) -> None:
        from htrun import __version__

        recorded, account = self._recording.totals, self._account()
        summary = {
            "version": 1,
            "htrun": __version__,
            "program": list(self._options.program),
            "events": recorded.events,
            "kinds": dict(recorded.kinds),
            "lost": recorded.lost,
            "failure": recorded.failure or self._failure,
            "no_ptrace": self._options.no_ptrace,
            "ring_events": self._recording.site_events.get(RING_SITE, 0),
            "traps": account["traps"],
            "machine_clock": account["machine_clock"],
            "sites": account["sites"],
            "warnings": dict(self._warnings.counts),
            "processes": account["processes"],
            "threads": account["threads"],
            "exit_status": account["exit_status"],
            "seconds": (time.monotonic_ns() - self._started) / 1e9,
        }
        self._outputs.write_summary(summary, self._warnings)
