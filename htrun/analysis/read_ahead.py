"""Reads in another thread, while the batches that were read before are processed: numpy works without Python's lock."""

from __future__ import annotations

from queue import SimpleQueue
from threading import Semaphore, Thread
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

_T = TypeVar("_T")
_AHEAD = 2
"""The number of batches that are read ahead."""


def read_ahead(batches: Iterable[_T]) -> Generator[_T, None, None]:
    """The ``batches``, which are read in advance. If reading a batch fails, the error is raised in place of the batch.
    If the result is closed early, no more than one further batch is read."""
    found: SimpleQueue[tuple[_T] | BaseException | None] = SimpleQueue()
    room, closed = Semaphore(_AHEAD), False

    def read() -> None:
        try:
            for batch in batches:
                found.put((batch,))
                room.acquire()
                if closed:
                    return
            found.put(None)
        except BaseException as error:
            found.put(error)

    thread = Thread(target=read, name="reader", daemon=True)
    thread.start()
    try:
        while (each := found.get()) is not None:
            if isinstance(each, BaseException):
                raise each
            room.release()
            yield each[0]
    finally:
        closed = True
        room.release()
        thread.join()
