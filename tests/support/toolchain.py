"""Compile guests for a target, with the guest library for that target, each only once per session."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lab.once import make_once
from tests.support.requirements import require_tool
from tests.support.targets import NATIVE, Target

ROOT = Path(__file__).parents[2]
GUEST_LIBRARY = ROOT / "guest" / "user"
INCLUDE = GUEST_LIBRARY
WARNINGS = ("-Wall", "-Wextra", "-Werror")


@dataclass(frozen=True)
class Toolchain:
    """Compilers whose outputs are below ``build``, a directory that the session's test processes share."""

    build: Path

    def compile(
        self, source: Path, target: Target = NATIVE, *, flags: tuple[str, ...] = (), compiler: str | None = None
    ) -> Path:
        """The program made of the C file ``source`` and the guest library.

        ``flags`` are added to the target's; ``compiler`` is another than the target's (``clang``, ``g++``).
        """
        command = self._command(source, target, flags, compiler)
        key = hashlib.sha256("\0".join([*command, source.read_text()]).encode()).hexdigest()[:12]
        return make_once(
            self.build / target.name / f"{source.stem}-{key}" / source.stem,
            lambda output: _run([*command, "-o", str(output)]),
        )

    def compile_text(self, text: str, name: str, target: Target = NATIVE, *, flags: tuple[str, ...] = ()) -> Path:
        """The program ``name`` made of the C program ``text`` and the guest library."""
        key = hashlib.sha256(text.encode()).hexdigest()[:12]
        source = make_once(self.build / "sources" / key / f"{name}.c", lambda path: _write(path, text))
        return self.compile(source, target, flags=flags)

    def library(self, target: Target = NATIVE) -> Path:
        """``libqemu-hypertrace-guest.a`` for the target, made by the library's own makefile."""
        require_tool(target.compiler, target.packages)
        directory = make_once(
            self.build / "library" / (target.triplet or "native"),
            lambda output: _run(["make", "-C", str(GUEST_LIBRARY), f"CC={target.compiler}", f"BUILD={output}"]),
        )
        return directory / "libqemu-hypertrace-guest.a"

    def _command(self, source: Path, target: Target, flags: tuple[str, ...], compiler: str | None) -> list[str]:
        program = require_tool(compiler or target.compiler, compiler or target.packages)
        library = self.library(target)
        options = ["-O2", "-g", "-pthread", *WARNINGS, *target.flags, *flags]
        return [str(program), *options, f"-I{INCLUDE}", str(source), str(library)]


def _run(command: list[str]) -> None:
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert result.returncode == 0, f"{' '.join(command)}\n{result.stdout}{result.stderr}"


def _write(path: Path, text: str) -> None:
    path.write_text(text)
