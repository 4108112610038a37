"""Compiles guests and the guest library for a target. Each is compiled only once in a session of pytest."""

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
    """Compiles to the directory ``build``, which all test processes of the session share."""

    build: Path

    def compile(
        self, source: Path, target: Target = NATIVE, *, flags: tuple[str, ...] = (), compiler: str | None = None
    ) -> Path:
        """Compile the C file ``source``, and link it with the guest library. Returns the path of the program.

        ``flags``: flags to add to those of the target. ``compiler``: a compiler to use instead of the target's, such as
        ``clang`` or ``g++``.
        """
        command = self._command(source, target, flags, compiler)
        key = hashlib.sha256("\0".join([*command, source.read_text()]).encode()).hexdigest()[:12]
        return make_once(
            self.build / target.name / f"{source.stem}-{key}" / source.stem,
            lambda output: _run([*command, "-o", str(output)]),
        )

    def compile_text(self, text: str, name: str, target: Target = NATIVE, *, flags: tuple[str, ...] = ()) -> Path:
        """Compile ``text``, a C program, to the program ``name``, and link it with the guest library."""
        key = hashlib.sha256(text.encode()).hexdigest()[:12]
        source = make_once(self.build / "sources" / key / f"{name}.c", lambda path: _write(path, text))
        return self.compile(source, target, flags=flags)

    def library(self, target: Target = NATIVE) -> Path:
        """The path of ``libqemu-hypertrace-guest.a`` for the target, built by the library's Makefile."""
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
