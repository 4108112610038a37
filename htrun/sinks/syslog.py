"""Sends events as messages to the system's log. PATH is the socket of the log, ``/dev/log``.

A message has the form of the C library's syslog(3), with the facility ``user``, the level ``info`` and the event's own
time: ``<14>Jan 31 10:15:00 htrun[TID]: LINE``, where LINE is the event's line in the log format. (RFC 3164.)
"""

from __future__ import annotations

import socket
import time
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

_PRIORITY = 1 << 3 | 6
"""LOG_USER and LOG_INFO."""
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class SyslogSink(FormatSink):
    """Sends events through ``connection``, and closes ``connection`` at the end. ``name``: the name of the log in error
    messages."""

    def __init__(self, connection: socket.socket, name: str, shapes: Shapes, *, decode: bool = False) -> None:
        super().__init__(name, decodes=decode)
        self._socket = connection
        self._shapes = shapes
        # A stream has no message boundaries. For its reader, a message ends at a NUL or at a line end.
        self._end = b"\n" if connection.type == socket.SOCK_STREAM else b""

    def _write(self, events: Events, streams: Sequence[Stream]) -> None:
        for batch in in_batches(events, BATCH):
            for line in format_lines(batch, streams, self._shapes, decode=self.decodes).splitlines():
                self._send(line)

    def _finish(self) -> None:
        """There is nothing to send after the last message."""

    def _release(self) -> None:
        self._socket.close()

    def _send(self, line: bytes) -> None:
        tid, _, rest = line.partition(b"@")
        seconds = int(rest.partition(b".")[0])
        try:
            self._socket.sendall(_head(seconds) + b"htrun[%b]: %b%b" % (tid, line, self._end))
        except OSError as error:
            raise SinkError(f"cannot write {self.name}: {error.strerror}") from error


def open_sink(path: Path, facts: TraceFacts) -> SyslogSink:
    """A sink that sends messages to the socket ``path``. Raises `HtrunError`."""
    shapes = facts.shapes
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        connection = socket.socket(socket.AF_UNIX, kind)
        try:
            connection.connect(str(path))
        except OSError as error:
            connection.close()
            failure = error
        else:
            return SyslogSink(connection, str(path), shapes, decode=facts.decode)
    raise HtrunError(
        f"cannot write to the system's log at {path}: {failure.strerror}; the usual path is /dev/log"
    ) from failure


def _head(seconds: int) -> bytes:
    """The head of a message with the time ``seconds``. Names of months are in English in every locale."""
    moment = time.localtime(seconds)
    date = f"{_MONTHS[moment.tm_mon - 1]} {moment.tm_mday:2} {moment.tm_hour:02}:{moment.tm_min:02}:{moment.tm_sec:02}"
    return f"<{_PRIORITY}>{date} ".encode()
