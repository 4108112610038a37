"""The house's rules: each module has a docstring, imports point downwards only, and nothing goes round in a circle."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.support.layers import LAYERS, ROOT_MODULES, layer_of

PACKAGE = Path(__file__).parents[2] / "htrun"
SOURCES = sorted(PACKAGE.rglob("*.py"))


def module_name(source: Path) -> str:
    """The dotted name of a source file; a package's own for its ``__init__.py``."""
    words = source.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(words[:-1] if words[-1] == "__init__" else words)


MODULES = {module_name(source): ast.parse(source.read_text()) for source in SOURCES}


def imports_of(name: str) -> set[str]:
    """The modules of htrun that ``name`` imports, at its top or within a function."""
    found: set[str] = set()
    for node in ast.walk(MODULES[name]):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: a relative import hides its layer"
            found.update(_imported_module(str(node.module), alias.name) for alias in node.names)
    return {module for module in found if module.split(".")[0] == "htrun"}


def _imported_module(module: str, name: str) -> str:
    return f"{module}.{name}" if f"{module}.{name}" in MODULES else module


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_downwards(name: str) -> None:
    if name in ROOT_MODULES:
        return
    upwards = [
        imported
        for imported in imports_of(name)
        if imported != "htrun" and imported.split(".")[1] != name.split(".")[1] and layer_of(imported) <= layer_of(name)
    ]
    assert not upwards, f"{name} may import only from layers below its own"


def test_no_import_goes_round() -> None:
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name not in done:
            for imported in imports_of(name) & MODULES.keys():
                visit(imported, (*path, name))
            done.add(name)

    for name in MODULES:
        visit(name, ())


def test_layers_and_packages_are_the_same() -> None:
    listed = {part for layer in LAYERS for part in layer}
    present = {name.split(".")[1] for name in MODULES if "." in name and name not in ROOT_MODULES}
    assert present == listed


@pytest.mark.parametrize("name", MODULES)
def test_module_has_a_docstring(name: str) -> None:
    assert ast.get_docstring(MODULES[name])


def test_no_module_of_odds_and_ends() -> None:
    vague = {"utils", "util", "helpers", "helper", "misc", "common"}
    assert not [name for name in MODULES if vague & set(name.split("."))]
