"""Fixtures of the tests that boot machines."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lab.kernels import Kernel
from lab.once import make_once
from tests.support.requirements import require_tool
from tests.support.toolchain import ROOT
from tests.system.machines import ARM64, I686, X86_64, OtherMachine


@pytest.fixture(scope="session")
def modules(session_directory: Path) -> list[Path]:
    """The kernel module and its example for x86-64."""
    return _build(X86_64.kernel(), session_directory / "linux-module-x86")


@pytest.fixture(scope="session")
def arm64_modules(session_directory: Path) -> list[Path]:
    """The same for 64-bit ARM."""
    require_tool(ARM64.target.compiler, ARM64.target.packages)
    return _build(ARM64.kernel(), session_directory / "linux-module-arm64")


@pytest.fixture(scope="session")
def i686_modules(session_directory: Path) -> list[Path]:
    """The same for 32-bit x86."""
    require_tool(I686.target.compiler, I686.target.packages)
    return _build(I686.kernel(), session_directory / "linux-module-i686")


@pytest.fixture(params=["aarch64", "i686"])
def other(request: pytest.FixtureRequest) -> OtherMachine:
    """Each machine for which the module is tested, except x86-64."""
    if request.param == "aarch64":
        return OtherMachine(ARM64, "qemu-system-aarch64", request.getfixturevalue("arm64_modules"))
    return OtherMachine(I686, "qemu-system-i386", request.getfixturevalue("i686_modules"))


def _build(kernel: Kernel, directory: Path) -> list[Path]:
    """The modules built for ``kernel``, with all warnings of ``make W=1``."""
    require_tool("make", "make")

    def build(directory: Path) -> None:
        try:
            told = kernel.build_modules(ROOT / "guest" / "linux-module", directory, "W=1")
        except subprocess.CalledProcessError as error:
            pytest.fail(error.output)
        assert "warning" not in told.lower(), told

    made = make_once(directory, build)
    return [made / f"{name}.ko" for name in ("qemu-hypertrace", "qemu-hypertrace-example")]
