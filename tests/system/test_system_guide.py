"""What the quick guide shows of whole machines is what the commands do."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.documents import fenced, transcript
from tests.support.toolchain import ROOT, Toolchain
from tests.system.machines import TIMEOUT, X86_64, Machine, installed_qemu, readme_program

MODULE_STEPS = (
    "insmod /qemu-hypertrace.ko",
    "user /bin/my-hypertrace /dev/hypertrace",
    "insmod /qemu-hypertrace-example.ko count=1",
)


@pytest.fixture
def directory(tmp_path: Path, toolchain: Toolchain, modules: list[Path]) -> Path:
    """A directory with the files that the guide names."""
    installed_qemu("qemu-system-x86_64")
    kernel = X86_64.kernel()
    here = tmp_path / "here"
    (here / "guest").mkdir(parents=True)
    (here / "vmlinuz").symlink_to(kernel.image)
    (here / "linux-headers").symlink_to(kernel.headers)
    shutil.copytree(ROOT / "guest" / "linux-module", here / "guest" / "linux-module")
    programs = {"my-hypertrace": readme_program(X86_64, toolchain)}
    for name, steps in (("initrd", ("/bin/my-hypertrace",)), ("initrd-module", MODULE_STEPS)):
        Machine(X86_64, toolchain, tmp_path, steps, programs, modules).pack(here / name)
    return here


def test_shell_sessions(directory: Path) -> None:
    for block in fenced("quick-guide.md", "shell-session"):
        assert transcript(block, directory, warnings=False, timeout=TIMEOUT) == block
