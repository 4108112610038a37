"""The stock emulators under which benches measure: the installed emulator, and later versions that the tests have
downloaded."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench.outcome import UnavailableError
from lab.debian import cache as downloads

_VERSION = re.compile(r"version (\d+\.\d+)")
LATER = ("10.0", "11.1")
"""The generations of QEMU in addition to the installed one. They differ in how QEMU stores to guest memory."""

COMPILERS = {"x86_64": "gcc", "aarch64": "aarch64-linux-gnu-gcc"}
"""The compiler for each architecture whose programs are measured under emulators."""


@dataclass(frozen=True)
class Emulator:
    """The program ``qemu-ARCHITECTURE``. ``generation``: its version, such as 10.0; None: the installed version."""

    architecture: str
    generation: str | None

    def find(self) -> Path:
        """The path of the program. Raises `UnavailableError`."""
        name = f"qemu-{self.architecture}"
        if self.generation is None:
            installed = shutil.which(name)
            if installed is None:
                raise UnavailableError(f"no {name}: apt-get install qemu-user")
            return Path(installed)
        for program in _downloaded(name):
            if _version(program) == self.generation:
                return program
        raise UnavailableError(f"no {name} {self.generation}: `make test` downloads and keeps it")

    def __str__(self) -> str:
        version = self.generation
        if version is None and (installed := shutil.which(f"qemu-{self.architecture}")):
            version = _version(Path(installed))
        return f"qemu-{self.architecture} {version or ''}".strip()


@cache
def _downloaded(name: str) -> list[Path]:
    found = sorted(downloads().rglob(f"{name}*"))
    wanted = (name, f"{name}-static")
    return [path for path in found if path.name in wanted and path.is_file() and os.access(path, os.X_OK)]


@cache
def _version(program: Path) -> str | None:
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    found = _VERSION.search(done.stdout)
    return found[1] if found else None
