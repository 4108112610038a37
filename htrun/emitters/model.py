"""Named events as the generators see them: identifiers that are possible in a language, and spans as pairs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from typing import TYPE_CHECKING, NamedTuple

from htrun.errors import HtrunError
from htrun.events.definition_text import text_of
from htrun.events.named import Phase

if TYPE_CHECKING:
    from htrun.events.arguments import Argument
    from htrun.events.named import NamedEvent, NamedEvents


class Field(NamedTuple):
    """An argument, and its identifier."""

    argument: Argument
    name: str


class Single(NamedTuple):
    """An event that is no part of a span. ``name``: its identifier."""

    name: str
    event: NamedEvent
    fields: tuple[Field, ...]

    @property
    def title(self) -> str:
        """The event's name."""
        return self.event.name

    @property
    def all_fields(self) -> tuple[Field, ...]:
        """The arguments."""
        return self.fields


class Span(NamedTuple):
    """A span. ``name``: its identifier. ``fields``: the arguments of its begin. ``end_fields``: the fields of its end.
    An argument of both events has a single identifier, and its value at the begin is the default at the end."""

    name: str
    begin: NamedEvent
    end: NamedEvent
    fields: tuple[Field, ...]
    end_fields: tuple[Field, ...]

    @property
    def own(self) -> tuple[Field, ...]:
        """The arguments of the end that the begin does not have with the same type."""
        return tuple(field for field in self.end_fields if field not in self.fields)

    @property
    def kept(self) -> tuple[Field, ...]:
        """The arguments of the end whose value at the begin is the default."""
        return tuple(field for field in self.end_fields if field in self.fields)

    @property
    def title(self) -> str:
        """The name of both events."""
        return self.begin.name

    @property
    def all_fields(self) -> tuple[Field, ...]:
        """The arguments of the begin, and those that only the end has."""
        return (*self.fields, *self.own)


def camel(name: str) -> str:
    """``name`` with its words joined by capitals: ``ReadPage`` for ``read_page``."""
    return "".join(word[:1].upper() + word[1:] for word in name.split("_") if word)


def definition_lines(names: NamedEvents) -> list[str]:
    """The definitions of ``names``, as lines of text that end with a newline character."""
    return text_of(names.events).splitlines(keepends=True)


def escaped(text: str) -> str:
    """``text`` inside a string literal of Rust and Java."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


class Model:
    """The events of ``names`` in one language."""

    def __init__(self, names: NamedEvents, language: str, words: Set[str], taken: Set[str] = frozenset()) -> None:
        """``language``: its name in messages. ``words``: words that are no identifiers in it. ``taken``: names that the
        generated code uses itself. Raises `HtrunError` if two events would have one name."""
        self.names = names
        self._language = language
        self._words = words
        self._taken = dict.fromkeys(taken, "the generated code")
        self.parts: list[Single | Span] = list(self._parts())

    def identifier(self, text: str, *, in_camel_case: bool = False) -> str:
        """An identifier for ``text``. ``in_camel_case``: see `camel`."""
        name = re.sub(r"[\W_]+", "_", text, flags=re.ASCII).strip("_") or "event"
        if in_camel_case:
            name = camel(name)
        if name[0].isdigit():
            name = f"_{name}" if not in_camel_case else f"N{name}"
        return f"{name}_" if name in self._words else name

    def _parts(self) -> Iterator[Single | Span]:
        events = self.names.events
        for event in events:
            if event.phase is Phase.END:
                continue
            name = self._claim(event)
            fields = self._fields(event, name)
            if event.phase is not Phase.BEGIN:
                yield Single(name, event, fields)
                continue
            end = next(other for other in events if other.name == event.name and other.phase is Phase.END)
            yield Span(name, event, end, fields, self._fields(end, name))

    def _claim(self, event: NamedEvent) -> str:
        name = self.identifier(event.name)
        # Two names that differ only in underscores and capitals may be one in some languages.
        for key in {name, self.identifier(event.name, in_camel_case=True)}:
            if key in self._taken:
                raise HtrunError(
                    f"{self._taken[key]} and the event {event.name!r} would both be {key} in {self._language}; "
                    "rename one"
                )
            self._taken[key] = f"the event {event.name!r}"
        return name

    def _fields(self, event: NamedEvent, owner: str) -> tuple[Field, ...]:
        fields = []
        for argument in event.arguments:
            name = self.identifier(argument.name)
            fields.append(Field(argument, f"{name}_" if name == owner else name))
        return tuple(fields)
