"""Describes the parsers: what `argparse` knows, and what the help text of ``htrun`` says, which `argparse` does not
parse."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING

from htrun.completion.model import Kind, Line, Option, Value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_OPTION = re.compile(r"^  (-\S.*?)(?:\s{2,}(\S.*))?$")
_DESCRIPTION = re.compile(r"^ {10,}(\S.*)$")
_NAME = re.compile(r"(?<![\w%-])--?[A-Za-z][\w-]*")
_LONGEST = 72
"""The maximum length of a description, in characters."""


def complete(action: argparse.Action, value: Value) -> None:
    """Make shells complete the value of ``action`` as ``value``."""
    # argparse has no place for it; argcomplete and shtab also use an attribute of the action.
    action.completed = value  # type: ignore[attr-defined]


def line_of_parser(parser: argparse.ArgumentParser) -> Line:
    """The options and the first argument of ``parser``."""
    argument: Value | None = None
    options = []
    for action in parser._actions:
        if action.option_strings and action.help != argparse.SUPPRESS:
            value = _value(action) if action.nargs != 0 else None
            options.append(Option(tuple(action.option_strings), short(help_of(action)), value))
        elif not action.option_strings and argument is None:
            argument = _value(action)
    return Line(tuple(options), argument)


def help_of(action: argparse.Action) -> str:
    """The description of ``action``, as help prints it."""
    return (action.help or "").replace("%%", "%").replace("%(default)s", str(action.default))


def _value(action: argparse.Action) -> Value:
    marked = getattr(action, "completed", None)
    if isinstance(marked, Value):
        return marked
    metavar = action.metavar if isinstance(action.metavar, str) else action.dest
    if action.choices:
        return Value(metavar, Kind.CHOICES, tuple(map(str, action.choices)))
    return Value(metavar)


def line_of_help(text: str, values: Mapping[str, Value]) -> Line:
    """The options that the help ``text`` describes. ``values``: the values of options, by one of their names, or by the
    name of the value in the text. The text gives the choices of values such as ``auto|store``."""
    return Line(tuple(_options(text, values)))


def described_options(text: str) -> Iterator[tuple[str, str]]:
    """Each option that the help ``text`` describes: its synopsis, such as ``-D, --log FILE``, and its description."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        found = _OPTION.match(line)
        if found is None:
            continue
        description = found[2] or ""
        for following in lines[number + 1 :]:
            more = _DESCRIPTION.match(following)
            if more is None:
                break
            description += f" {more[1]}"
        yield found[1], description.strip()


def _options(text: str, values: Mapping[str, Value]) -> Iterator[Option]:
    for synopsis, description in described_options(text):
        also = re.match(r"\(also (.*?)\) ?", description)
        if also is not None:
            synopsis += f" {also[1]}"
            description = description[also.end() :]
        names = tuple(dict.fromkeys(_NAME.findall(synopsis)))
        value = _value_in(synopsis, names, values)
        if value is not None or len(names) == 1 or any(name.startswith("--") and len(names) == 2 for name in names):
            yield Option(names, short(description), value)
        else:
            # Separate options that share a line, such as -v and -q.
            parts = [part.strip() for part in description.split(";")] + [""] * len(names)
            for name, part in zip(names, parts, strict=False):
                yield Option((name,), short(part), None)


def _value_in(synopsis: str, names: tuple[str, ...], values: Mapping[str, Value]) -> Value | None:
    """The value that the option ``names`` has according to its ``synopsis``."""
    for name in names:
        if name in values:
            return values[name]
    rest = _NAME.sub("", synopsis).strip(" ,")
    if not rest:
        return None
    word = rest.split()[0]
    if re.fullmatch(r"[a-z]+(\|[a-z]+)+", word):
        return Value(word, Kind.CHOICES, tuple(word.split("|")))
    return values.get(word, Value(word))


def short(description: str) -> str:
    """The beginning of ``description``: its first clause."""
    text = re.split(r"(?<=\w)[.:;](?:\s|$)| ?\(default", " ".join(description.split()))[0]
    return text if len(text) <= _LONGEST else text[:_LONGEST].rpartition(" ")[0].rstrip(",") + " ..."
