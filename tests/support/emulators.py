"""Three generations of stock qemu-user: the installed one, and two later ones from Debian, unpacked in a directory.

From trixie on, Debian's ``qemu-user`` contains static programs, so an unpacked package runs on any distribution.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.debian import Unpacked
from tests.support.requirements import require_tool, required


@dataclass(frozen=True)
class Generation:
    """One generation. ``suite``: the Debian suite it comes from; empty for the installed one."""

    name: str
    suite: str

    def directory(self) -> Path:
        """The directory of its programs; the first call may download them. Ends the test without network or apt."""
        if not self.suite:
            return require_tool("qemu-x86_64", "qemu-user").parent
        with required():
            return Unpacked(f"qemu-user-{self.suite}", self.suite, ("qemu-user",)).directory() / "usr" / "bin"

    def emulator(self, name: str) -> Path:
        """The program ``name``, such as ``qemu-aarch64``, of this generation."""
        return require_tool(str(self.directory() / name), "qemu-user")

    def version(self) -> tuple[int, int]:
        """Major and minor version, as its programs print them."""
        told = subprocess.run(
            [self.emulator("qemu-x86_64"), "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True
        ).stdout
        match = re.search(r"version (\d+)\.(\d+)", told)
        assert match, told
        return int(match[1]), int(match[2])


INSTALLED = Generation("installed", "")
TRIXIE = Generation("10.0", "trixie")
SID = Generation("11.1", "sid")
_LATER = pytest.mark.heavy("downloaded, and the installed emulators are tried, too")
GENERATIONS = (INSTALLED, pytest.param(TRIXIE, marks=_LATER), pytest.param(SID, marks=_LATER))
"""For pytest's parametrize."""
