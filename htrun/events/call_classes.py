"""Classes of system calls, such as ``%file``. The names of the classes are those of ``strace -e trace`` (strace(1))."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_INDENT = "    "


@cache
def call_classes() -> Mapping[str, frozenset[str]]:
    """The calls of each class. The keys are the names of the classes, which begin with %."""
    classes: dict[str, set[str]] = {}
    calls: set[str] = set()
    for line in files("htrun.events").joinpath("call_classes.txt").read_text().splitlines():
        if line.startswith("%"):
            calls = classes.setdefault(line, set())
        elif line.startswith(_INDENT):
            calls.update(line.split())
    return {name: frozenset(each) for name, each in classes.items()} | {"%net": frozenset(classes["%network"])}
