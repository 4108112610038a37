"""Files, pipes and devices to which output is written, and the errors of writing."""

from __future__ import annotations

import os
import re
import select
import stat
from pathlib import Path

from htrun.errors import HtrunError
from htrun.events.sink import SinkError

_PIPE_BUF = select.PIPE_BUF
"""The maximum number of bytes that are written to a pipe in one piece, even if other processes write to the same pipe
(pipe(7))."""
_OWN_DESCRIPTORS = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}
_DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/(\d+)")


STANDARD_OUTPUT = Path("/dev/stdout")


def output_path(text: str) -> Path:
    """The file that ``text`` names on a command line; ``-`` stands for standard output."""
    return STANDARD_OUTPUT if text == "-" else Path(text)


class Output:
    """A file that is open for writing. ``name``: the name of the file in messages."""

    def __init__(self, descriptor: int, name: str) -> None:
        """``descriptor``: the descriptor of the file; `close` closes it."""
        self.name = name
        self._descriptor = descriptor
        self._regular = stat.S_ISREG(os.fstat(descriptor).st_mode)

    @classmethod
    def open(cls, path: Path) -> Output:
        """Open and truncate the file ``path``. Raises `HtrunError`.

        If ``path`` names a descriptor of htrun (``/dev/stdout``), the descriptor is duplicated, and the path is not
        opened. A file that is opened again would have its own position, and htrun would overwrite what the program
        writes to the file. A socket cannot be opened.
        """
        try:
            own = own_descriptor(path)
            if own is not None:
                return cls(os.dup(own), str(path))
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY
            return cls(os.open(path, flags, 0o666), str(path))
        except OSError as error:
            raise HtrunError(f"cannot write {path}: {error.strerror}") from error

    @classmethod
    def standard_error(cls) -> Output:
        """htrun's standard error. Raises `HtrunError` if standard error is closed."""
        try:
            return cls(os.dup(2), "standard error")
        except OSError as error:
            raise HtrunError(f"cannot write to standard error: {error.strerror}; give -D FILE") from error

    def write_lines(self, text: bytes) -> None:
        """Write whole lines, so that no other writer's text is in the middle of a line. Raises `SinkError`.

        Data is always written to a file in one piece. To a pipe, a terminal or a socket, up to PIPE_BUF bytes are
        written in one piece.
        """
        if self._regular:
            self.write(text)
            return
        view = memoryview(text)
        start = 0
        while start < len(text):
            end = text.rfind(b"\n", start, start + _PIPE_BUF) + 1 or text.index(b"\n", start) + 1
            self.write(view[start:end])
            start = end

    def write(self, data: memoryview | bytes) -> None:
        """Write all of ``data``. If necessary, wait for the reader of the output. Raises `SinkError`."""
        while len(data):
            try:
                written = os.write(self._descriptor, data)
            except BlockingIOError:
                # Another process that shares the open file has made it non-blocking.
                _wait_writable(self._descriptor)
            except OSError as error:
                raise SinkError(f"cannot write {self.name}: {error.strerror}") from error
            else:
                data = data[written:]

    def close(self) -> None:
        """Close the file. A second call does nothing. Raises `SinkError` if the system reports a failed write at this
        time."""
        if self._descriptor < 0:
            return
        descriptor, self._descriptor = self._descriptor, -1
        try:
            os.close(descriptor)
        except OSError as error:
            raise SinkError(f"cannot write {self.name}: {error.strerror}") from error


def own_descriptor(path: Path) -> int | None:
    """The file descriptor of this process for which ``path`` stands (``/dev/stdout``); None for any other path."""
    match = _DESCRIPTOR.fullmatch(str(path))
    return int(match[1]) if match else _OWN_DESCRIPTORS.get(str(path))


def has_no_reader(error: SinkError) -> bool:
    """Whether ``error`` was raised because the reader of a pipe, such as ``| head``, has closed it."""
    return isinstance(error.__cause__, BrokenPipeError)


def _wait_writable(descriptor: int) -> None:
    """Wait until a write would no longer block, or would fail."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    poll.poll()
