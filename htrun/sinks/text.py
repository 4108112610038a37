"""The base class of all text formats. A text consists of a head, the text of each batch of events, and a tail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from htrun.errors import HtrunError
from htrun.events.sink import FormatSink
from htrun.sinks.columns import BATCH
from htrun.sinks.output import Output

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from htrun.events.records import Events
    from htrun.events.stream import Stream

    Formatter = Callable[[Events, Sequence[Stream]], bytes]
    """A function that creates whole lines for at least one event."""


class TextSink(FormatSink):
    """Writes events as lines to ``output``, and closes ``output`` at the end. Nothing is buffered."""

    def __init__(
        self,
        output: Output,
        formatter: Formatter,
        *,
        head: Callable[[int | None], bytes] | None = None,
        tail: bytes = b"",
        decodes: bool = False,
    ) -> None:
        """``head``: returns the text before the first event; its argument is the time of the first event in ns since
        the epoch, or None if there is no event. ``tail``: the text after the last event. ``decodes``: see
        `htrun.events.sink.decodes`."""
        super().__init__(output.name, decodes=decodes)
        self._output = output
        self._formatter = formatter
        self._head = head
        self._tail = tail

    def _write(self, events: Events, streams: Sequence[Stream]) -> None:
        from htrun.events.call_texts import in_batches

        if len(events):
            self._write_head(int(events["time"][0]))
        for batch in in_batches(events, BATCH):
            self._output.write_lines(self._formatter(batch, streams))

    def _finish(self) -> None:
        self._write_head(None)
        self._output.write(self._tail)

    def _release(self) -> None:
        self._output.close()

    def _write_head(self, first: int | None) -> None:
        if self._head is not None:
            head, self._head = self._head(first), None
            self._output.write(head)


def new_output(path: Path) -> Output:
    """Open the file ``path`` for a trace: a new or empty file, a pipe, or a device. Raises `HtrunError`."""
    if path.is_file() and not path.is_symlink() and path.stat().st_size:
        raise HtrunError(f"cannot write a trace to {path}: it exists; give another, or -f to replace it")
    if path.is_dir():
        raise HtrunError(f"cannot write a trace to {path}: it is a directory; this format is one file")
    return Output.open(path)
