"""The languages for which code can be generated."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, cast

if TYPE_CHECKING:
    from htrun.events.named import NamedEvents

Generate = Callable[["NamedEvents", str, str], str]
"""Generates the code for named events. The other arguments are the prefix of names, and the name of the file from which
the events come. Raises `HtrunError` for names that are not possible."""


class Language(NamedTuple):
    """A language. ``module``, ``function``: where its `Generate` is."""

    name: str
    module: str
    function: str

    def generate(self) -> Generate:
        """The generator, imported when it is needed."""
        return cast(Generate, getattr(importlib.import_module(self.module), self.function))


LANGUAGES = {
    language.name: language
    for language in (
        Language("c", "htrun.emitters.c", "c_header"),
        Language("c++", "htrun.emitters.cpp", "cpp_header"),
        Language("go", "htrun.emitters.go", "go_package"),
        Language("rust", "htrun.emitters.rust", "rust_module"),
        Language("java", "htrun.emitters.java", "java_class"),
        Language("javascript", "htrun.emitters.javascript", "javascript_module"),
        Language("python", "htrun.emitters.python", "python_module"),
    )
}
