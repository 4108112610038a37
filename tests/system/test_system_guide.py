"""What the quick guide shows of whole machines is what the commands do."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.run import HTRUN
from tests.support.toolchain import ROOT, Toolchain
from tests.system import kernels
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
    kernel = kernels.amd64()
    assert kernel.headers is not None
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
    text = (ROOT / "docs" / "quick-guide.md").read_text()
    blocks = re.findall(r"^```shell-session\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        assert _transcript(block, directory) == block


def _transcript(block: str, directory: Path) -> str:
    """What a terminal would show for the block's commands, with placeholders for thread, time and directory."""
    environment = os.environ | {"PATH": f"{HTRUN.parent}:{os.environ['PATH']}"}
    shown = ""
    for command in re.findall(r"^\$ (.*)$", block, re.MULTILINE):
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
        refused = done.stderr if done.returncode else ""
        shown += f"$ {command}\n{done.stdout}{refused}"
    shown = shown.replace(str(directory), "/home/you")
    return re.sub(r"^\d+@\d+\.\d{6}:", "TID@TIME:", shown, flags=re.MULTILINE)
