"""Three unmodified versions of qemu-user: the installed version, and two later versions from Debian, which are unpacked
in a directory.

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
    """One version of qemu-user. ``suite``: the Debian suite that contains it; empty for the installed version."""

    name: str
    suite: str

    def directory(self) -> Path:
        """The directory of the emulators. The first call may download them. Ends the test if this is impossible,
        because there is no network or no apt."""
        if not self.suite:
            return require_tool("qemu-x86_64", "qemu-user").parent
        with required():
            return Unpacked(f"qemu-user-{self.suite}", self.suite, ("qemu-user",)).directory() / "usr" / "bin"

    def emulator(self, name: str) -> Path:
        """The path of the emulator ``name``, such as ``qemu-aarch64``."""
        return require_tool(str(self.directory() / name), "qemu-user")

    def version(self) -> tuple[int, int]:
        """The major and the minor version number, as ``qemu-x86_64 --version`` prints them."""
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
"""The versions, as parameters of a test."""
