"""Joins small JavaScript modules into one script.

A page that was opened as a file cannot import modules, not even from itself. So each module is converted to a function
that returns the module's exports, and each module is placed after the modules that it imports. Modules may use only two
forms, each at the beginning of a line: ``import { a, b } from "./x.js";``, and ``export`` before a function, a class or
a constant.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./([a-z_]+)\.js";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function\*?|class|const) (\w+))", re.MULTILINE)
_OTHER_FORM = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)


def bundle(entry: str, read: Callable[[str], str]) -> str:
    """The script of the module ``entry`` and all modules that it needs. ``read``: a function that returns the text of
    the module with a name. Raises `ValueError` if a module imports a name that is not exported, uses another form of
    import or export, or imports itself directly or indirectly.
    """
    done: dict[str, tuple[str, tuple[str, ...]]] = {}

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            raise ValueError(f"circular import: {' -> '.join([*path, name])}")
        if name in done:
            return
        text = read(name)
        for names, needed in _IMPORT.findall(text):
            visit(needed, (*path, name))
            missing = set(_words(names)) - set(done[needed][1])
            if missing:
                raise ValueError(f"{name}.js imports {', '.join(sorted(missing))}, which {needed}.js does not export")
        done[name] = _as_function(name, text)

    visit(entry, ())
    return '"use strict";\n' + "".join(text for text, _ in done.values())


def _as_function(name: str, text: str) -> tuple[str, tuple[str, ...]]:
    """The text of a module, converted to a function that is called immediately, and the names that the module
    exports."""
    exported = tuple(_EXPORT.findall(text))
    text = _EXPORT.sub("", _IMPORT.sub(lambda found: f"const {{{found[1]}}} = ${found[2]};\n", text))
    if other := _OTHER_FORM.search(text):
        raise ValueError(f"{name}.js: {other[0]!r} has a form that is not known here")
    return f"const ${name} = (() => {{\n{text}\nreturn {{ {', '.join(exported)} }};\n}})();\n", exported


def _words(names: str) -> list[str]:
    return [word.strip() for word in names.split(",") if word.strip()]
