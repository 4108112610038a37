"""The contents of configuration files.

Each file has two tables of options, one for each command: ``[htrun]`` and ``[hypertrace]``. The table ``[hypertrace]``
contains a table for each verb, such as ``[hypertrace.stat]``.
"""

from __future__ import annotations

import os
import tomllib
from difflib import get_close_matches
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from htrun.errors import HtrunError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from htrun.commands.config_files import ConfigFile

_COMMANDS = ("htrun", "hypertrace")


class Setting(NamedTuple):
    """A key of a table, and its ``value``. ``key``: the long name of an option, without the dashes."""

    file: ConfigFile
    table: str
    key: str
    value: object

    @property
    def label(self) -> str:
        """The name of the setting in messages: the file, the table and the key."""
        return f"{self.file.path}: [{self.table}] {self.key}"

    def fail(self, reason: str) -> NoReturn:
        """Raise `HtrunError` with the ``reason`` why the value is wrong."""
        raise HtrunError(f"{self.label}: {reason}")

    def fail_unknown(self, known: Iterable[str]) -> NoReturn:
        """Raise `HtrunError` for an unknown key. ``known``: the keys that exist."""
        close = get_close_matches(self.key, list(known), n=1)
        self.fail("there is no such option" + (f"; did you mean {close[0]}?" if close else ""))

    def check_project(self, allowed: Iterable[str]) -> None:
        """Raise `HtrunError` if this setting is in a project's file and its key is not among ``allowed``."""
        if self.file.of_project and self.key not in allowed:
            self.fail("a project's file may not set this option; set it in your own (~/.config/htrun/config.toml)")

    def flag(self) -> bool:
        """The value of an option that takes no value on the command line: true or false. Raises `HtrunError`."""
        if not isinstance(self.value, bool):
            self.fail("must be true or false")
        return self.value

    def text(self) -> str:
        """The value as a word of a command line. Raises `HtrunError`."""
        if isinstance(self.value, bool) or not isinstance(self.value, str | int | float):
            self.fail("must be a string")
        return str(self.value)

    def texts(self) -> list[str]:
        """The values of an option that can be repeated. The setting is a list or a single value. Raises
        `HtrunError`."""
        values = self.value if isinstance(self.value, list) else [self.value]
        if any(isinstance(each, bool) or not isinstance(each, str | int | float) for each in values):
            self.fail("must be a string or a list of strings")
        return [str(each) for each in values]

    def number(self) -> int | float:
        """The value of an option that takes a number. Raises `HtrunError`."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            self.fail("must be a number")
        return self.value

    def whole_number(self) -> int:
        """The value of an option that takes a whole number. Raises `HtrunError`."""
        if isinstance(self.value, bool) or not isinstance(self.value, int):
            self.fail("must be a whole number")
        return self.value

    def path_beside(self, text: str) -> str:
        """The value ``text`` as the path of a file. If ``text`` is a relative path, it is relative to the directory of
        the configuration file."""
        return os.path.join(os.path.dirname(self.file.path), os.path.expanduser(text))


def settings(file: ConfigFile, command: str) -> list[Setting]:
    """The settings of ``command`` in ``file``, including those in the tables of verbs. Raises `HtrunError`."""
    content = _load(file)
    for name, table in content.items():
        if name not in _COMMANDS:
            raise HtrunError(f"{file.path}: {name}: there is no such table; choose from [htrun] and [hypertrace]")
        if not isinstance(table, dict):
            raise HtrunError(f"{file.path}: {name}: must be a table: write [{name}]")
    found = []
    for key, value in content.get(command, {}).items():
        if isinstance(value, dict):
            found += [Setting(file, f"{command}.{key}", inner, each) for inner, each in value.items()]
        else:
            found.append(Setting(file, command, key, value))
    # Settings for one verb take precedence over settings for all verbs.
    return sorted(found, key=lambda each: each.table != command)


def _load(file: ConfigFile) -> Mapping[str, dict[str, object]]:
    try:
        with open(file.path, "rb") as opened:
            return tomllib.load(opened)
    except OSError as error:
        raise HtrunError(f"cannot read {file.path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise HtrunError(f"{file.path} is not valid TOML: {error}; --no-config ignores it") from error
