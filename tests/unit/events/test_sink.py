"""The states of a sink: when it is finished, and when it is only released."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from htrun.events.records import event_dtype
from htrun.events.sink import FormatSink, SinkError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from htrun.events.records import Events
    from htrun.events.stream import Stream

NONE = np.zeros(0, event_dtype(4))


class Remembering(FormatSink):
    """A sink that records its calls. ``fails``: the calls that raise an exception."""

    def __init__(self, fails: str = "") -> None:
        super().__init__("a sink", decodes=True)
        self.done: list[str] = []
        self._fails = fails

    def _write(self, events: Events, streams: Sequence[Stream]) -> None:
        self._do("write")

    def _finish(self) -> None:
        self._do("finish")

    def _release(self) -> None:
        self._do("release")

    def _do(self, what: str) -> None:
        self.done.append(what)
        if what == self._fails:
            raise SinkError(f"cannot {what}")


def test_a_sink_is_finished_and_released_once() -> None:
    sink = Remembering()
    sink.write(NONE, [])
    sink.flush()
    sink.close()
    sink.close()
    assert sink.done == ["write", "finish", "release"]
    assert (sink.name, sink.decodes) == ("a sink", True)


def test_what_has_failed_is_released_but_not_finished() -> None:
    sink = Remembering(fails="write")
    with pytest.raises(SinkError, match="cannot write"):
        sink.write(NONE, [])
    sink.close()
    assert sink.done == ["write", "release"]


def test_what_cannot_be_finished_is_released() -> None:
    sink = Remembering(fails="finish")
    with pytest.raises(SinkError, match="cannot finish"):
        sink.close()
    sink.close()
    assert sink.done == ["finish", "release"]
