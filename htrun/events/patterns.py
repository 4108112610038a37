"""QEMU's ``-trace`` argument: the choice of the events to record.

``[[enable=]PATTERN][,events=FILE][,file=FILE]``: ``PATTERN`` is the name of an event. In it, ``*`` matches any text,
and ``?`` matches any character. A leading ``-`` disables the events. ``events=FILE`` names a file of patterns, one per
line, with comments after ``#``. A comma within a value is doubled. (QEMU: docs/devel/tracing.rst, trace/control.c.)
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from htrun.errors import HtrunError
from htrun.events.definitions import EVENTS, HYPERTRACE

if TYPE_CHECKING:
    from collections.abc import Sequence


class Selection(NamedTuple):
    """The result of the ``-trace`` arguments of a command line.

    ``events``: the names of the events to record. ``file``: the output file, if the arguments name one. ``unknown``:
    the names in the arguments that no event has, for a warning.
    """

    events: frozenset[str] = frozenset({HYPERTRACE.name})
    file: str | None = None
    unknown: tuple[str, ...] = ()


def select(arguments: Sequence[str], also: frozenset[str] = frozenset()) -> Selection:
    """The selection after ``arguments`` were applied in order. Raises `HtrunError`.

    If no argument enables anything, the arguments apply to `Selection`'s default events. ``also``: the events that are
    enabled before the first argument is applied.
    """
    patterns: list[str] = []
    file = None
    for argument in arguments:
        for setting in split_commas(argument):
            key, equals, value = setting.partition("=")
            if equals and not value and key in {"events", "file"}:
                raise HtrunError(f"-trace {argument}: {key} needs the name of a file")
            match key if equals else "enable":
                case "enable":
                    patterns.append(value if equals else setting)
                case "events":
                    patterns += _patterns_in(Path(value))
                case "file":
                    file = value
                case _:
                    raise HtrunError(f"-trace {argument}: unknown setting {key!r}; choose from enable, events and file")
    events, unknown = _apply(patterns, also)
    return Selection(events, file, unknown)


def split_commas(argument: str) -> list[str]:
    """The parts of ``argument`` between single commas.

    A doubled comma stands for a comma in a part, as in all of QEMU.
    """
    # No argument of a program contains a NUL.
    return [part.replace("\0", ",") for part in argument.replace(",,", "\0").split(",")]


def _patterns_in(path: Path) -> list[str]:
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise HtrunError(f"cannot read the events file {path}: {reason}") from error
    patterns = [line.partition("#")[0].strip() for line in lines]
    return [pattern for pattern in patterns if pattern]


def _apply(patterns: Sequence[str], also: frozenset[str]) -> tuple[frozenset[str], tuple[str, ...]]:
    """The names of the events that are enabled after ``patterns``, and the patterns that match no event."""
    enabling = any(pattern and not pattern.startswith("-") for pattern in patterns)
    events = set(also) if enabling else set(also | Selection().events)
    unknown = []
    for pattern in patterns:
        name = pattern.removeprefix("-")
        if not name:
            raise HtrunError(f"-trace: {pattern!r} is not a pattern; give an event's name, such as {HYPERTRACE.name}")
        matching = _matching(name)
        if not matching and not set(name) & set("*?"):
            unknown.append(name)
        events = events - matching if pattern.startswith("-") else events | matching
    return frozenset(events), tuple(unknown)


def _matching(pattern: str) -> set[str]:
    wildcards = {"*": ".*", "?": "."}
    expression = re.compile("".join(wildcards.get(character) or re.escape(character) for character in pattern))
    return {definition.name for definition in EVENTS if expression.fullmatch(definition.name)}
