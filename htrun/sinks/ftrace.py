"""Writes events to the host kernel's own trace. Each event is a line that is written to ``trace_marker`` of tracefs.

The kernel records the time at which a marker is written. This time is some milliseconds after the event, so each marker
is a line as in the log format, with the event's own time and thread. PATH is tracefs, an instance in tracefs, or a
``trace_marker`` file. (Linux: Documentation/trace/ftrace.rst.)
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from htrun.errors import HtrunError
from htrun.events.call_texts import in_batches
from htrun.events.shapes import Shapes
from htrun.events.sink import FormatSink, SinkError
from htrun.sinks.columns import BATCH
from htrun.sinks.log import format_lines

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from htrun.events.records import Events
    from htrun.events.stream import Stream
    from htrun.sinks.facts import TraceFacts

_IOV_MAX = 1024
_MARKER = "trace_marker"


class FtraceSink(FormatSink):
    """Writes events to ``descriptor``, an open ``trace_marker``. The sink closes the descriptor at the end."""

    def __init__(self, descriptor: int, name: str, shapes: Shapes, *, decode: bool = False) -> None:
        super().__init__(name, decodes=decode)
        self._descriptor = descriptor
        self._shapes = shapes

    def _write(self, events: Events, streams: Sequence[Stream]) -> None:
        for batch in in_batches(events, BATCH):
            lines = format_lines(batch, streams, self._shapes, decode=self.decodes).splitlines()
            for first in range(0, len(lines), _IOV_MAX):
                self._put(lines[first : first + _IOV_MAX])

    def _finish(self) -> None:
        """There is nothing to write after the last marker."""

    def _release(self) -> None:
        os.close(self._descriptor)

    def _put(self, lines: list[bytes]) -> None:
        """Write each of ``lines`` as a marker. The kernel creates a marker for each element of the vector.

        A line that is too long for a marker (1 KiB in older kernels) continues in the next marker.
        """
        while lines:
            try:
                written = os.writev(self._descriptor, lines)
            except OSError as error:
                raise SinkError(f"cannot write {self.name}: {error.strerror}") from error
            whole = 0
            while whole < len(lines) and written >= len(lines[whole]):
                written -= len(lines[whole])
                whole += 1
            lines = lines[whole:]
            if lines:
                lines[0] = lines[0][written:]


def open_sink(path: Path, facts: TraceFacts) -> FtraceSink:
    """A sink that writes markers to the tracefs at ``path``. Raises `HtrunError`."""
    marker = path / _MARKER if path.is_dir() else path
    if marker.name != _MARKER:
        raise HtrunError(f"cannot write to ftrace at {path}: give a {_MARKER} or tracefs, such as /sys/kernel/tracing")
    try:
        descriptor = os.open(marker, os.O_WRONLY | os.O_CLOEXEC)
    except PermissionError:
        raise HtrunError(f"cannot write {marker}: only root may; run htrun as root, or let root grant it") from None
    except FileNotFoundError:
        raise HtrunError(f"cannot write {marker}: not there; mount -t tracefs tracefs /sys/kernel/tracing") from None
    except OSError as error:
        raise HtrunError(f"cannot write {marker}: {error.strerror}") from error
    return FtraceSink(descriptor, str(marker), facts.shapes, decode=facts.decode)
