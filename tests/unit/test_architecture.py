"""The rules for modules: each has a docstring, and imports point downwards only, without cycles."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from htrun.commands.hypertrace import COMMANDS
from tests.support.layers import HOUSES, LAYERS, ROOT_MODULES, layer_of, package_of

TOP = Path(__file__).parents[2]
SOURCES = sorted(source for house in HOUSES for source in (TOP / house).rglob("*.py"))


def module_name(source: Path) -> str:
    """The dotted name of a source file. For ``__init__.py``, it is the name of the package."""
    words = source.relative_to(TOP).with_suffix("").parts
    return ".".join(words[:-1] if words[-1] == "__init__" else words)


def source_of(name: str) -> Path:
    """The source file of a module."""
    path = TOP / Path(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


MODULES = {module_name(source): ast.parse(source.read_text()) for source in SOURCES}
OF_HTRUN = [name for name in MODULES if name.split(".")[0] == "htrun"]


def imports_of(name: str) -> set[str]:
    """The modules of the project that ``name`` imports, at its top or within a function."""
    found: set[str] = set()
    for node in ast.walk(MODULES[name]):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: a relative import hides its layer"
            found.update(_imported_module(str(node.module), alias.name) for alias in node.names)
    return {module for module in found if module.split(".")[0] in (*HOUSES, "tests")}


def _imported_module(module: str, name: str) -> str:
    return f"{module}.{name}" if f"{module}.{name}" in MODULES else module


@pytest.mark.parametrize("name", MODULES)
def test_no_house_knows_who_lives_off_it(name: str) -> None:
    own = name.split(".")[0]
    others = {imported.split(".")[0] for imported in imports_of(name)} - {own}
    assert others <= HOUSES[own], f"{own} may import only from {sorted(HOUSES[own])}"


@pytest.mark.parametrize("name", OF_HTRUN)
def test_imports_point_downwards(name: str) -> None:
    if name in ROOT_MODULES:
        return
    upwards = [
        imported
        for imported in imports_of(name)
        if imported != "htrun" and package_of(imported) != package_of(name) and layer_of(imported) <= layer_of(name)
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
    present = {package_of(name) for name in OF_HTRUN if name not in ROOT_MODULES}
    assert present == listed


@pytest.mark.parametrize("name", MODULES)
def test_module_has_a_docstring(name: str) -> None:
    assert ast.get_docstring(MODULES[name])


def test_no_module_of_odds_and_ends() -> None:
    vague = {"utils", "util", "helpers", "helper", "misc", "common"}
    assert not [name for name in MODULES if vague & set(name.split("."))]


READERS = ("htrun.analysis", "htrun.ctf", "htrun.view")
WRITERS = tuple(
    f"htrun.ctf.{name}" for name in ("writer", "stream_files", "thread_streams", "tracer_streams", "clock_file")
)
"""The modules among `READERS` that a run imports when it starts."""


@pytest.mark.parametrize("name", [name for name in OF_HTRUN if name.startswith(READERS) and name not in WRITERS])
def test_what_only_readers_use_imports_numpy_at_its_top(name: str) -> None:
    """Imports inside functions are only for the start of a run (docs/architecture.md), which must not wait for
    numpy."""
    late = [
        node.lineno
        for function in ast.walk(MODULES[name])
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import) and any(alias.name == "numpy" for alias in node.names)
    ]
    assert not late


VERBS = sorted(type(command).__module__ for command in COMMANDS.values())


@pytest.mark.parametrize("name", [name for name in OF_HTRUN if name.startswith("htrun.commands.")])
def test_only_the_table_of_verbs_knows_verbs(name: str) -> None:
    """A verb consists of a file and a row of the table. (The completion of an argument is defined where the argument is
    added.)"""
    if name != "htrun.commands.hypertrace":
        assert imports_of(name) & {*VERBS} - {name} <= {"htrun.commands.completion"}


@pytest.mark.parametrize("name", [name for name in OF_HTRUN if not name.startswith("htrun.commands")])
def test_only_commands_parse_arguments(name: str) -> None:
    assert "argparse" not in {
        each
        for node in ast.walk(MODULES[name])
        if isinstance(node, ast.Import | ast.ImportFrom)
        for each in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module])
    }


A_MACHINES_WORDS = re.compile(
    r"\b(?:[re](?:ip|ax|bx|cx|dx|si|di|bp|sp|flags)|orig_rax|[fg]s_base|rdtsc|cpuid|X86_64|I386|USER32_CS)\b"
)
"""Names of x86-64's registers, instructions and interfaces, as in code."""


@pytest.mark.parametrize("name", [name for name in OF_HTRUN if not name.startswith("htrun.hosts.x86_64")])
def test_no_machine_is_named_outside_its_package(name: str) -> None:
    found = {
        (number, word)
        for number, line in enumerate(source_of(name).read_text().splitlines(), 1)
        for word in A_MACHINES_WORDS.findall(line)
    }
    assert not found, "ask hosts/ for it, by its role"


ABOUT_X86_64 = {"bench.trampoline.cost"}
"""The exception is for the machine code of x86-64: it measures the instructions of trampolines."""


@pytest.mark.parametrize("name", [name for name in MODULES if not name.startswith("htrun.hosts.")])
def test_no_machine_is_imported_outside_hosts(name: str) -> None:
    """Other modules use `htrun.hosts.current` and `htrun.hosts.fastpath.current`."""
    if name not in ABOUT_X86_64:
        assert not {imported for imported in imports_of(name) if imported.startswith("htrun.hosts.x86_64")}


MAKES_REQUESTS = ("htrun.tracee.ptrace", "htrun.tracee.stopped")


@pytest.mark.parametrize("name", [name for name in OF_HTRUN if name not in MAKES_REQUESTS])
def test_ptrace_requests_are_made_by_stopped_threads_only(name: str) -> None:
    """Other modules use a `Stopped`, so that no request is made for a thread that may be running."""
    used = {node.id for node in ast.walk(MODULES[name]) if isinstance(node, ast.Name)}
    used |= {node.attr for node in ast.walk(MODULES[name]) if isinstance(node, ast.Attribute)}
    assert "raw_ptrace" not in used
