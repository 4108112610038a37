"""Makes configuration files the defaults for the options of ``hypertrace``'s verbs."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from htrun.commands.configuration import Setting, settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from htrun.commands.config_files import ConfigFile

_OF_PROJECTS = frozenset({
    "all", "between", "by", "color", "cpu", "decode", "event", "events", "fail-on", "from", "guest-formats", "ids",
    "interval", "intervals", "lines", "max-runs", "most", "no-guest-trace", "no-histograms", "no-whole",
    "or-inconclusive", "outliers", "prefix", "process", "runs", "span", "thread", "threshold", "time", "to",
    "undisturbed", "until", "warm", "warmup", "where",
})  # fmt: skip
"""The options that a project's file may set. None of them writes a file, runs a program or changes the machine."""
_READ = frozenset({"events", "guest-formats", "matrix", "compare"})
"""The options whose value is a file to read."""
_NO_SETTINGS = frozenset({"help", "no-config", "id", "at", "vs"})
"""The options that a configuration file cannot set."""

Lists = dict[str, dict[str, list[Any]]]
"""The values of options that can be repeated, by verb and by attribute of the parsed arguments."""


def configure(verbs: Mapping[str, argparse.ArgumentParser], files: Iterable[ConfigFile]) -> Lists:
    """Make the settings in ``files`` the defaults of ``verbs``. Earlier files take precedence.

    Returns the values of options that can be repeated. These values apply only if the command line does not have the
    option; as defaults of `argparse`, they would be merged with the values on the command line. Raises `HtrunError`.
    """
    lists: Lists = {}
    for file in reversed(list(files)):
        for setting in settings(file, "hypertrace"):
            for name, action in _actions(verbs, setting):
                if isinstance(action, argparse._AppendAction):
                    lists.setdefault(name, {})[action.dest] = _values(setting, action)
                else:
                    verbs[name].set_defaults(**{action.dest: _value(setting, action)})
    return lists


def _actions(verbs: Mapping[str, argparse.ArgumentParser], setting: Setting) -> Iterable[tuple[str, argparse.Action]]:
    """Each verb to which ``setting`` applies, with the option that it sets. Raises `HtrunError` if there is none."""
    _, dot, verb = setting.table.partition(".")
    if dot and verb not in verbs:
        setting.fail(f"there is no verb {verb}")
    options = {name: _options(verbs[name]) for name in ([verb] if dot else verbs)}
    found = [(name, own[setting.key]) for name, own in options.items() if setting.key in own]
    if not found:
        setting.fail_unknown({key for own in options.values() for key in own})
    setting.check_project(_OF_PROJECTS)
    return found


def _options(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    names = {word[2:]: action for action in parser._actions for word in action.option_strings if word[:2] == "--"}
    return {name: action for name, action in names.items() if name not in _NO_SETTINGS}


def _values(setting: Setting, action: argparse.Action) -> list[Any]:
    """The values of an option that can be repeated. Raises `HtrunError`."""
    values = setting.value if isinstance(setting.value, list) else [setting.value]
    return [_value(setting._replace(value=value), action) for value in values]


def _value(setting: Setting, action: argparse.Action) -> object:
    """The value of ``setting`` as the option's own parser would return it. Raises `HtrunError`."""
    if action.nargs == 0:
        return setting.flag()
    if isinstance(action.nargs, int):
        if not isinstance(setting.value, list) or len(setting.value) != action.nargs:
            setting.fail(f"must be a list of {action.nargs} strings")
        return setting.texts()
    if action.type is int:
        return setting.whole_number()
    if action.type is float:
        return setting.number()
    text = setting.text()
    if action.choices is not None and text not in action.choices:
        setting.fail(f"must be one of {', '.join(action.choices)}")
    if setting.key in _READ:
        text = setting.path_beside(text)
    convert: Callable[[str], object] = action.type if callable(action.type) else str
    return convert(text)
