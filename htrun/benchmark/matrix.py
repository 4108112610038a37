"""A matrix of benchmarks from a TOML file: programs x emulators x parameters.

::

    [[program]]
    name = "hash"
    command = "./kernels-{arch} hash {size}"

    [[emulator]]
    name = "native"
    arch = "x86_64"                         # commands can refer to any further key

    [[emulator]]
    name = "aarch64"
    command = "qemu-aarch64 -L /usr/aarch64-linux-gnu"
    arch = "aarch64"

    [parameters]
    size = [64, 4096]
"""

from __future__ import annotations

import itertools
import re
import shlex
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from htrun.errors import HtrunError

_NAME = re.compile(r"[\w.+-]+")


@dataclass(frozen=True)
class Cell:
    """One benchmark. ``group``: the program and the parameters, which are the same for every emulator. ``emulator``:
    the name of the emulator."""

    group: str
    emulator: str
    command: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name of the cell, and of its directory."""
        return f"{self.group}@{self.emulator}"


def load(path: Path) -> list[Cell]:
    """The cells that the file ``path`` defines, sorted into groups. Raises `HtrunError`."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise HtrunError(f"cannot read {path}: {getattr(error, 'strerror', None) or 'it is not text'}") from None
    except tomllib.TOMLDecodeError as error:
        raise HtrunError(f"{path}: {error}") from error
    for key in document:
        if key not in ("program", "emulator", "parameters"):
            raise HtrunError(f"{path}: unknown key {key!r}; choose from program, emulator, parameters")
    programs = _tables(path, document, "program")
    emulators = _tables(path, document, "emulator") if "emulator" in document else [{"name": "native"}]
    parameters = document.get("parameters", {})
    if not isinstance(parameters, dict) or not all(isinstance(each, list) and each for each in parameters.values()):
        raise HtrunError(f"{path}: [parameters] must contain lists, such as size = [64, 4096]")
    cells = []
    for program in programs:
        for values in itertools.product(*parameters.values()):
            chosen = dict(zip(parameters, values, strict=True))
            cells += [_cell(path, program, emulator, chosen) for emulator in emulators]
    names = [cell.name for cell in cells]
    if len(set(names)) < len(names):
        raise HtrunError(f"{path}: two cells are called {next(name for name in names if names.count(name) > 1)}")
    return cells


def _tables(path: Path, document: dict[str, Any], key: str) -> list[dict[str, Any]]:
    tables = document.get(key)
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise HtrunError(f"{path}: there must be one [[{key}]] or more")
    for table in tables:
        if not isinstance(table.get("name"), str) or not _NAME.fullmatch(table["name"]):
            raise HtrunError(f"{path}: each [[{key}]] has a name of letters, digits and _.+-")
    return tables


def _cell(path: Path, program: dict[str, Any], emulator: dict[str, Any], parameters: dict[str, Any]) -> Cell:
    words = {key: str(value) for key, value in {**program, **emulator, **parameters}.items() if key != "command"}
    command = program.get("command")
    if not isinstance(command, str):
        raise HtrunError(f"{path}: the program {program['name']!r} has no command")
    used = {key: str(value) for key, value in parameters.items() if "{" + key + "}" in command}
    try:
        filled = f"{emulator.get('command', '')} {command}".format_map(words)
    except (KeyError, ValueError, IndexError) as error:
        raise HtrunError(f"{path}: the command {command!r} contains a placeholder without a value: {error}") from None
    try:
        command_words = tuple(shlex.split(filled))
    except ValueError as error:
        raise HtrunError(f"{path}: the command {command!r}: {error}") from None
    group = "-".join([program["name"], *(f"{key}{value}" for key, value in used.items())])
    return Cell(re.sub(r"[^\w.+-]", "_", group), emulator["name"], command_words)
