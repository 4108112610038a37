"""Joins the definitions of named events that are found in several files into one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from htrun.errors import HtrunError
from htrun.events.definition_text import text_of
from htrun.events.named import NamedEvents, Phase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from htrun.events.named import NamedEvent


class FoundNames:
    """The definitions found so far. ``named``: all of them; None if there are none. Later definitions are appended, so
    the index of an event in ``named`` does not change."""

    def __init__(self, num_args: int) -> None:
        """``num_args``: the number of arguments that the channel has."""
        self.named: NamedEvents | None = None
        self._num_args = num_args
        self._texts: set[str] = set()
        self._files: dict[NamedEvent, str] = {}

    def add(self, text: str, file: str) -> Iterator[str]:
        """Add the definitions ``text`` of ``file``. Yields a message of one line for each reason why some of them are
        not used."""
        if text in self._texts:
            return
        self._texts.add(text)
        try:
            events = NamedEvents.parse(text, f"the definitions of events in {file}").events
        except HtrunError as error:
            yield f"{error}; its events have no names"
            return
        refused: set[str] = set()
        for event in events:
            reason = self._refusal(event, file)
            if reason is not None and event.name not in refused:
                refused.add(event.name)
                yield reason
        # The begin and the end of a span are used together, or not at all.
        fresh = [event for event in events if event.name not in refused and event not in self._files]
        self._files |= dict.fromkeys(fresh, file)
        if fresh:
            known = tuple(self._files)
            self.named = NamedEvents(known, text_of(known))

    def _refusal(self, event: NamedEvent, file: str) -> str | None:
        """Why ``event`` of ``file`` can't be used; None if it can."""
        needed = 1 + len(event.arguments)
        if needed > self._num_args:
            return (
                f"{file}: the event {event.name!r} needs {needed} arguments, and the channel has {self._num_args}, so "
                f"it has no name; try: --hypertrace PATH,args={needed}"
            )
        for other, source in self._files.items():
            # Labels are no part of an argument's hash, so equality decides.
            difference = _difference(event, other) if event != other else None
            if difference is not None:
                return f"{file}: {difference} in {source}, which is used; change one, or give --events FILE"
        return None


def _difference(event: NamedEvent, other: NamedEvent) -> str | None:
    """How the definition ``event`` contradicts ``other``, as the beginning of a sentence; None if it does not."""
    if event.id == other.id and event.name == other.name:
        return f"the event {event.name!r} (id {event.id}) has another phase, key or arguments than"
    if event.id == other.id:
        return f"id {event.id} is the event {event.name!r}, but {other.name!r}"
    if event.name == other.name and {event.phase, other.phase} != {Phase.BEGIN, Phase.END}:
        return f"the event {event.name!r} has id {event.id}, but id {other.id}"
    return None
