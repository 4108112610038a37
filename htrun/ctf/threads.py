"""Finds the threads of shared streams. In such streams, each event contains its thread."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from htrun.ctf.pieces import pieces_of
from htrun.errors import HtrunError
from htrun.events.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from htrun.ctf.packets import StreamFile

_MOST_THREADS = 1 << 24
"""A number of threads that no run has. A higher number in a trace means damage."""


def threads_in(files: Iterable[StreamFile]) -> dict[int, Stream]:
    """All threads that occur in the events of ``files``, by their numbers in the run. Raises `HtrunError`."""
    threads: dict[int, Stream] = {}
    for file in files:
        for events in _events(file):
            used, first = np.unique(events["thread"], return_index=True)
            for number, row in zip(used.tolist(), first.tolist(), strict=True):
                if number not in threads:
                    threads[number] = _thread(events[row])
            if len(threads) > _MOST_THREADS:
                raise HtrunError(f"{file.path} is damaged: it names more threads than there can be")
    return threads


class ThreadNumbers:
    """Translates the thread numbers in events to indexes of a list of streams."""

    def __init__(self, places: Mapping[int, int]) -> None:
        """``places``: the index for each thread number."""
        self._numbers = np.array(sorted(places), np.uint32)
        self._places = np.array([places[number] for number in sorted(places)], np.uint32)

    def places(self, numbers: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """The indexes for ``numbers``. `threads_in` must have found each of these numbers."""
        return self._places[np.searchsorted(self._numbers, numbers)]


def _events(file: StreamFile) -> Iterator[NDArray[np.void]]:
    descriptor = os.open(file.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for _, _, offset, count, _ in pieces_of(file.pieces).tolist():
            events = np.empty(count, file.stream_class.event_dtype)
            size = os.preadv(descriptor, [events.view("u1").data], offset)
            yield events[: size // events.dtype.itemsize]
    except OSError as error:
        raise HtrunError(f"cannot read {file.path}: {error.strerror}") from error
    finally:
        os.close(descriptor)


def _thread(event: np.void) -> Stream:
    comm = bytes(event["comm"]).rstrip(b"\0").decode(errors="replace")
    return Stream(int(event["tid"]), int(event["pid"]), int(event["vcpu"]), comm)
