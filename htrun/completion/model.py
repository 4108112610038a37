"""What a shell can complete on the command line of a program: options, their values, and verbs with their options."""

from __future__ import annotations

from enum import Enum, auto
from typing import NamedTuple


class Kind(Enum):
    """What a value is. ``OTHER``: a value that no shell can complete, such as a number."""

    OTHER = auto()
    CHOICES = auto()
    FILE = auto()
    DIRECTORY = auto()
    PROGRAM = auto()


class Value(NamedTuple):
    """A value of an option, or an argument. ``name``: its name in help. ``choices``: the values of `Kind.CHOICES`."""

    name: str
    kind: Kind = Kind.OTHER
    choices: tuple[str, ...] = ()


class Option(NamedTuple):
    """An option with all its ``names``. ``help``: a short description. ``value``: None for an option without one."""

    names: tuple[str, ...]
    help: str
    value: Value | None = None


class Line(NamedTuple):
    """The part of a command line that one parser reads.

    ``argument``: the arguments that are not options; None if there are none, or none that can be completed.
    """

    options: tuple[Option, ...]
    argument: Value | None = None


class Verb(NamedTuple):
    """A verb of a program, with its own ``line``. ``runs``: the program whose command line follows the verb; empty if
    options of the verb follow."""

    name: str
    help: str
    line: Line
    runs: str = ""


class Program(NamedTuple):
    """A program.

    ``verbs``: empty for a program that runs another program, whose command line follows the options. If there are
    verbs, the command line of another program may follow ``--``.
    """

    name: str
    line: Line
    verbs: tuple[Verb, ...] = ()

    @property
    def lines(self) -> dict[str, Line]:
        """The line of each verb, and the line before the verb with an empty name."""
        return {"": self.line} | {verb.name: verb.line for verb in self.verbs}
