"""Writes named events as TOML, one line for each key. Equal events give equal texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from htrun.events.named import Phase

if TYPE_CHECKING:
    from htrun.events.arguments import Argument
    from htrun.events.named import NamedEvent

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"'})


def text_of(events: Iterable[NamedEvent]) -> str:
    """The TOML text that `NamedEvents.parse` turns into ``events``."""
    return "\n".join(line for event in events for line in _lines(event)) + "\n"


def argument_text(argument: Argument) -> str:
    """The text that `Argument.parse` turns into ``argument``."""
    if argument.labels:
        spec = ",".join(f"{label}={value}" for value, label in argument.labels.items())
        return f"{argument.name}:{argument.type.value}:{spec}"
    return ":".join(filter(None, (argument.name, argument.type.value, argument.spec)))


def _lines(event: NamedEvent) -> Iterator[str]:
    yield "[[event]]"
    yield f"id = {event.id}"
    yield f"name = {_quoted(event.name)}"
    if event.phase is not Phase.INSTANT:
        yield f"phase = {_quoted(event.phase.value)}"
    if event.arguments:
        yield f"args = [{', '.join(_quoted(argument_text(argument)) for argument in event.arguments)}]"
    if event.key is not None:
        yield f"key = {_quoted(event.key)}"


def _quoted(text: str) -> str:
    # Names are printable, so nothing else needs an escape.
    return f'"{text.translate(_ESCAPES)}"'
