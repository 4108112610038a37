"""Named events. The user writes a TOML file that gives names to values of ``arg1``.

::

    [[event]]
    id = 1                                  # the value of arg1
    name = "io"
    phase = "begin"                         # "instant" (the default), "begin", "end", "counter"
    args = ["size:u64", "kind:enum:READ=0,WRITE=1"]     # arg2 and on
    key = "size"                            # pairs begin and end across threads

An event with phase "begin" and an event with phase "end" form a span if they have the same name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from htrun.errors import HtrunError
from htrun.events.arguments import Argument

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from htrun.events.toml_lines import TomlLines

_MAX_ARGUMENTS = 63
"""The maximum number of arguments of an event in addition to ``arg1``. A channel has at most 64 arguments
(`htrun.channel.layout`)."""
_MAX_ID = (1 << 64) - 1
_KEYS = ("id", "name", "phase", "args", "key")
NAMED_EVENTS_FACT = "named_events"
"""The name of the fact in a trace's metadata that contains the TOML text of the trace's named events."""


class Phase(StrEnum):
    """The meaning of an event. The value of a member is its name in a TOML file."""

    INSTANT = "instant"
    BEGIN = "begin"
    END = "end"
    COUNTER = "counter"


@dataclass(frozen=True)
class NamedEvent:
    """One event. ``id``: the value of ``arg1``. ``arguments``: the types of ``arg2`` and on.

    ``key``: the name of the argument by which the two events of a span are paired; None if they are paired within a
    thread. ``carried``: whether the arguments come from a guest's kernel instead of the channel, so that there may be
    more arguments than the channel has.
    """

    id: int
    name: str
    phase: Phase = Phase.INSTANT
    arguments: tuple[Argument, ...] = ()
    key: str | None = None
    carried: bool = False

    @property
    def key_place(self) -> int | None:
        """The index of the key in ``arguments``."""
        names = [argument.name for argument in self.arguments]
        return None if self.key is None else names.index(self.key)


@dataclass(frozen=True)
class NamedEvents:
    """The contents of one TOML file. ``text``: the text of the file, which is stored in a trace."""

    events: tuple[NamedEvent, ...]
    text: str

    @classmethod
    def load(cls, path: Path) -> NamedEvents:
        """Read the file ``path``. Raises `HtrunError`; the message contains the number of the wrong line."""
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise HtrunError(f"cannot read {path}: it is not text") from None
        except OSError as error:
            raise HtrunError(f"cannot read {path}: {error.strerror}") from error
        return cls.parse(text, str(path))

    @classmethod
    def parse(cls, text: str, source: str = "events") -> NamedEvents:
        """Parse the TOML ``text``. ``source``: the name of the text in error messages. Raises `HtrunError`; the message
        contains the number of the wrong line."""
        import tomllib

        from htrun.events.toml_lines import TomlLines

        try:
            document = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise HtrunError(f"{source}: {error}") from error
        return cls(_Reader(TomlLines(text, "event"), source).events(document), text)

    def lookup(self, arg1: int) -> NamedEvent | None:
        """The named event with this ``arg1``; None if there is none."""
        place = self._places.get(arg1)
        return None if place is None else self.events[place]

    def places(self, arg1: NDArray[np.uint64]) -> NDArray[np.int64]:
        """For each ``arg1``, the index of the named event in ``events``; -1 if there is none."""
        import numpy as np

        if not self.events:
            return np.full(len(arg1), -1, np.int64)
        ids, places = self._sorted_ids
        found = np.minimum(np.searchsorted(ids, arg1), len(ids) - 1)
        return np.where(ids[found] == arg1, places[found], -1)

    @property
    def num_args(self) -> int:
        """The number of arguments that a channel needs for all these events: ``arg1`` and the declared arguments."""
        return 1 + max((len(event.arguments) for event in self.events), default=0)

    @cached_property
    def _places(self) -> dict[int, int]:
        return {event.id: place for place, event in enumerate(self.events)}

    @cached_property
    def _sorted_ids(self) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        import numpy as np

        ids = np.array([event.id for event in self.events], np.uint64)
        order = np.argsort(ids)
        return ids[order], order


class _Reader:
    """Checks a parsed document, and reports the line of any error."""

    def __init__(self, lines: TomlLines, source: str) -> None:
        self._lines = lines
        self._source = source

    def events(self, document: Mapping[str, Any]) -> tuple[NamedEvent, ...]:
        for key in document:
            if key != "event":
                raise self._error(self._lines.of_key(key), f"unknown key {key!r}; events are tables [[event]]")
        tables = document.get("event", [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            raise self._error(self._lines.of_key("event"), "an event is a table [[event]], with two brackets")
        events: list[NamedEvent] = []
        for number, table in enumerate(tables):
            event = self._event(number, table)
            self._compare(number, event, events)
            events.append(event)
        for number, event in enumerate(events):
            self._check_partner(number, event, events)
        return tuple(events)

    def _event(self, number: int, table: Mapping[str, Any]) -> NamedEvent:
        for key in table:
            if key not in _KEYS:
                raise self._wrong(number, key, f"unknown key {key!r}; choose from {', '.join(_KEYS)}")
        for key in ("id", "name"):
            if key not in table:
                raise self._wrong(number, None, f"the event has no {key}")
        id_, name = table["id"], table["name"]
        if not isinstance(id_, int) or isinstance(id_, bool) or not 0 <= id_ <= _MAX_ID:
            raise self._wrong(number, "id", f"id must be a number from 0 to 2**64 - 1, not {id_!r}")
        if not isinstance(name, str) or not name or not name.isprintable() or name != name.strip():
            raise self._wrong(number, "name", f"{name!r} is not a valid name: use printable characters")
        phase = self._phase(number, table.get("phase", "instant"))
        arguments = self._arguments(number, table.get("args", []))
        if phase is Phase.COUNTER and not arguments:
            raise self._wrong(number, "phase", f"the counter {name!r} needs an argument to count")
        return NamedEvent(id_, name, phase, arguments, self._key(number, table.get("key"), phase, arguments))

    def _phase(self, number: int, text: object) -> Phase:
        try:
            return Phase(str(text))
        except ValueError:
            known = ", ".join(repr(phase.value) for phase in Phase)
            raise self._wrong(number, "phase", f"unknown phase {text!r}; choose from {known}") from None

    def _arguments(self, number: int, texts: object) -> tuple[Argument, ...]:
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise self._wrong(number, "args", 'args must be a list of texts, such as ["size:u64", "ratio:f64:.3f"]')
        if len(texts) > _MAX_ARGUMENTS:
            raise self._wrong(number, "args", f"{len(texts)} arguments are more than the {_MAX_ARGUMENTS} that fit")
        arguments: list[Argument] = []
        for text in texts:
            try:
                argument = Argument.parse(text)
            except ValueError as error:
                raise self._wrong(number, "args", str(error), text) from None
            if any(argument.name == other.name for other in arguments):
                raise self._wrong(number, "args", f"two arguments are called {argument.name!r}", text)
            arguments.append(argument)
        return tuple(arguments)

    def _key(self, number: int, key: object, phase: Phase, arguments: Sequence[Argument]) -> str | None:
        if key is None:
            return None
        if phase not in {Phase.BEGIN, Phase.END}:
            raise self._wrong(number, "key", f"only a begin and an end have a key, not an event of phase {phase.value}")
        for argument in arguments:
            if argument.name == key:
                return argument.name
        raise self._wrong(number, "key", f"the key {key!r} is none of the event's args")

    def _compare(self, number: int, event: NamedEvent, earlier: Sequence[NamedEvent]) -> None:
        for other_number, other in enumerate(earlier):
            line = self._lines.of_table(other_number)
            if other.id == event.id:
                raise self._wrong(number, "id", f"id {event.id} is that of the event {other.name!r} at line {line} too")
            if other.name == event.name and {other.phase, event.phase} != {Phase.BEGIN, Phase.END}:
                message = f"the name {event.name!r} is taken at line {line}; only one begin and one end share a name"
                raise self._wrong(number, "name", message)

    def _check_partner(self, number: int, event: NamedEvent, events: Sequence[NamedEvent]) -> None:
        partners = {Phase.BEGIN: Phase.END, Phase.END: Phase.BEGIN}
        if event.phase not in partners:
            return
        wanted = partners[event.phase]
        partner = next((other for other in events if (other.name, other.phase) == (event.name, wanted)), None)
        if partner is None:
            raise self._wrong(number, "phase", f"the {event.phase.value} {event.name!r} has no {wanted.value}")
        if event.key is None and partner.key is not None:
            raise self._wrong(number, None, f"the {event.phase.value} {event.name!r} has no key, but its partner has")

    def _wrong(self, number: int, key: str | None, message: str, text: str | None = None) -> HtrunError:
        return self._error(self._lines.of_table(number, key, text), message)

    def _error(self, line: int, message: str) -> HtrunError:
        return HtrunError(f"{self._source}: {message} (at line {line})")
