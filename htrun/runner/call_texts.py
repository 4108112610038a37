"""Reads the texts that system calls point to, out of the memory of a thread that is stopped at one.

As strace does: of bytes the first 32, of strings all, but those of a command line within limits of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from htrun.events.call_texts import Text
from htrun.events.syscalls import ARCH_I386
from htrun.events.text_arguments import Pointed, TextArgument, text_arguments
from htrun.tracee.call_wait import MOST_NUMBERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from htrun.intercept.guest import Thread
    from htrun.tracee.call_wait import Entry
    from htrun.tracee.memory import Memory

_MOST_BYTES = 32
_MOST_PATH = 4096
"""PATH_MAX, <linux/limits.h>."""
_MOST_WORDS, _MOST_WORD = 32, 256
"""Of a command line: words, and bytes of each."""
_MOST_ERRNO = 4095
_WORD = (1 << 64) - 1


class CallTexts:
    """The texts of the calls (``entries``) and of their returns (``returns``) that are recorded."""

    def __init__(self, *, entries: bool, returns: bool) -> None:
        self._entries = entries
        self._returns = returns
        self._awaited: dict[int, Entry] = {}

    def numbers(self, arch: int) -> bytes:
        """A byte for each number of an interface's calls: 1 if it can have a text that is wanted."""
        return bytes(
            any(self._returns if each.after else self._entries for each in text_arguments(arch, number))
            for number in range(MOST_NUMBERS)
        )

    def entering(self, thread: Thread, call: Entry) -> list[Text]:
        """What ``call``, which is about to be made, points to."""
        if not self._entries:
            return []
        wanted = [each for each in text_arguments(call.arch, call.number) if not each.after]
        return [text for argument in wanted for text in _texts(argument, call, _memory(thread), None)]

    def await_return(self, thread: Thread, call: Entry) -> bool:
        """Whether the return of ``call`` has to be seen, since the kernel gives it a text."""
        wanted = self._returns and any(each.after for each in text_arguments(call.arch, call.number))
        if wanted:
            self._awaited[thread.tid] = call
        return wanted

    def returned(self, thread: Thread, result: int) -> list[Text]:
        """What the kernel has filled in for the call of which the thread returns with ``result`` (64 bits)."""
        call = self._awaited.pop(thread.tid, None)
        if call is None or result > _WORD - _MOST_ERRNO:
            return []
        wanted = [each for each in text_arguments(call.arch, call.number) if each.after]
        return [text for argument in wanted for text in _texts(argument, call, _memory(thread), result)]

    def forget(self, thread: Thread) -> None:
        """The thread is no more."""
        self._awaited.pop(thread.tid, None)


def _memory(thread: Thread) -> Memory:
    memory = thread.space.memory
    memory.reach_through(thread.tid)
    return memory


def _texts(argument: TextArgument, call: Entry, memory: Memory, result: int | None) -> Iterator[Text]:
    address = call.arguments[argument.place]
    if not address:
        return
    try:
        match argument.pointed:
            case Pointed.STRING:
                yield _string(argument.place, 0, address, memory, _MOST_PATH)
            case Pointed.STRINGS:
                yield from _strings(argument.place, address, memory, 4 if call.arch == ARCH_I386 else 8)
            case Pointed.BYTES:
                size = call.arguments[argument.size] if argument.size is not None else result or 0
                data = memory.read(address, min(size, _MOST_BYTES)) if size else b""
                yield Text(argument.place, 0, data, size > len(data))
    except (OSError, OverflowError):
        # Nothing is mapped there, and the call will say so; or the thread has been killed meanwhile.
        return


def _string(place: int, element: int, address: int, memory: Memory, most: int) -> Text:
    data = memory.read_string(address, most)
    return Text(place, element, data[:most], len(data) >= most)


def _strings(place: int, address: int, memory: Memory, size: int) -> Iterator[Text]:
    pointers = memory.read_words(address, size, _MOST_WORDS + 1)
    for element, pointer in enumerate(pointers[:_MOST_WORDS]):
        yield _string(place, element, pointer, memory, _MOST_WORD)
    if len(pointers) > _MOST_WORDS:
        yield Text(place, _MOST_WORDS, b"", cut=True)
