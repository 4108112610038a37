"""Reads the texts that the arguments of a system call point to, from the memory of a thread that is stopped at the
call.

The limits are like those of strace: the first 32 bytes of a buffer, and up to 4096 bytes of a string. The arguments of
a program have smaller limits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from htrun.events.call_texts import Text
from htrun.events.syscalls import ARCH_I386
from htrun.events.text_arguments import Pointed, TextArgument, text_arguments
from htrun.hosts.call_plans import (
    FIRST,
    LAST,
    LEFT_TO_CALLER,
    MOST_BYTES,
    MOST_NUMBERS,
    MOST_STRING,
    PLAN_SIZE,
    PRESENT,
    SIZE_SHIFT,
    STRING,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from htrun.hosts.stops import Entry
    from htrun.intercept.guest import Thread
    from htrun.tracee.memory import Memory

_MOST_WORDS, _MOST_WORD = 32, 256
"""The limits for the arguments of a program: the maximum number of arguments, and the maximum number of bytes of
each."""
_MOST_BEFORE = LAST - FIRST + 1


class CallTexts:
    """Reads texts at those stops that the machine code (`fastpath.call_wait`) does not handle. ``entries``: whether
    texts are read before a call; ``returns``: whether texts that the kernel fills in are read after a call."""

    def __init__(self, *, entries: bool, returns: bool) -> None:
        self._entries = entries
        self._returns = returns

    def plans(self, arch: int) -> bytes:
        """The plan for the machine code: for each call of an interface, a byte that says which texts to read (see
        `CallWait.read_texts`)."""
        return b"".join(self._plan(arch, number) for number in range(MOST_NUMBERS))

    def _plan(self, arch: int, number: int) -> bytes:
        before, after = self._before(arch, number), self._after(arch, number)
        if len(before) > _MOST_BEFORE or any(each.pointed is Pointed.STRINGS for each in before):
            return bytes([LEFT_TO_CALLER]).ljust(PLAN_SIZE, b"\0")
        first = bytes(_code(each) for each in before).ljust(_MOST_BEFORE, b"\0")
        return (b"\0" + first + bytes(_code(each) for each in after)).ljust(PLAN_SIZE, b"\0")

    def _before(self, arch: int, number: int) -> list[TextArgument]:
        return [each for each in text_arguments(arch, number) if not each.after] if self._entries else []

    def _after(self, arch: int, number: int) -> list[TextArgument]:
        return [each for each in text_arguments(arch, number) if each.after] if self._returns else []

    def entering(self, thread: Thread, call: Entry) -> list[Text]:
        """The texts that the arguments of ``call`` point to. The call is about to be made."""
        return [
            text
            for argument in self._before(call.arch, call.number)
            for text in _texts(argument, call.arguments[argument.place], call, _memory(thread))
        ]

    def pointer(self, call: Entry) -> int:
        """The pointer argument of ``call`` through which the kernel returns a text; 0 if there is none."""
        return next((call.arguments[each.place] for each in self._after(call.arch, call.number)), 0)

    def returned(self, thread: Thread, returned: Entry, pointer: int) -> list[Text]:
        """The texts that the kernel has written at ``pointer`` in a call that has returned. ``returned``: the return of
        the call."""
        if returned.arguments[0] >> 63:
            return []
        return [
            text
            for argument in self._after(returned.arch, returned.number)
            for text in _texts(argument, pointer, returned, _memory(thread))
        ]


def _code(argument: TextArgument) -> int:
    """The byte of a plan that stands for ``argument``."""
    size = STRING if argument.pointed is Pointed.STRING else argument.size or 0
    return PRESENT | size << SIZE_SHIFT | argument.place


def _memory(thread: Thread) -> Memory:
    memory = thread.space.memory
    memory.reach_through(thread.tid)
    return memory


def _texts(argument: TextArgument, address: int, call: Entry, memory: Memory) -> Iterator[Text]:
    """The texts at ``address``. ``call``: the entry or the return of the call. The size of a buffer is among its
    arguments."""
    if not address:
        return
    try:
        match argument.pointed:
            case Pointed.STRING:
                yield _string(argument.place, 0, address, memory, MOST_STRING)
            case Pointed.STRINGS:
                yield from _strings(argument.place, address, memory, 4 if call.arch == ARCH_I386 else 8)
            case Pointed.BYTES:
                size = call.arguments[argument.size or 0]
                data = memory.read(address, min(size, MOST_BYTES)) if size else b""
                yield Text(argument.place, 0, data, size > len(data))
    except (OSError, OverflowError):
        # Nothing is mapped there, so the call will fail. Or the thread has been killed meanwhile.
        return


def _string(place: int, element: int, address: int, memory: Memory, most: int) -> Text:
    data, whole = memory.string_start(address, most)
    return Text(place, element, data, not whole)


def _strings(place: int, address: int, memory: Memory, size: int) -> Iterator[Text]:
    pointers = memory.first_words(address, size, _MOST_WORDS + 1)
    for element, pointer in enumerate(pointers[:_MOST_WORDS]):
        yield _string(place, element, pointer, memory, _MOST_WORD)
    if len(pointers) > _MOST_WORDS:
        yield Text(place, _MOST_WORDS, b"", cut=True)
