"""Fixtures of the tests that boot machines."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.locks import make_once
from tests.support.requirements import require_tool
from tests.support.toolchain import ROOT
from tests.system import kernels


@pytest.fixture(scope="session")
def modules(session_directory: Path) -> list[Path]:
    """The kernel module and its example, built with every warning that the kernel's makefiles call sensible."""
    headers = kernels.amd64().headers
    assert headers is not None
    require_tool("make", "make")

    def build(directory: Path) -> None:
        shutil.copytree(ROOT / "guest" / "linux-module", directory)
        command = ["make", "-C", str(directory), f"KDIR={headers}", "W=1"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        told = done.stdout + done.stderr
        assert done.returncode == 0, told
        assert "warning" not in told.lower(), told

    directory = make_once(session_directory / "linux-module", build)
    return [directory / f"{name}.ko" for name in ("qemu-hypertrace", "qemu-hypertrace-example")]
