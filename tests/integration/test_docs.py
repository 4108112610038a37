"""What the documents show is what the commands do: each console block is run, and its output compared."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.requirements import require_tool
from tests.support.run import HTRUN
from tests.support.targets import AARCH64, NATIVE
from tests.support.toolchain import ROOT, Toolchain

DOCUMENTS = ("quick-guide.md", "troubleshooting.md")


@pytest.fixture
def directory(tmp_path: Path, toolchain: Toolchain) -> Path:
    """A directory with the programs that the documents name."""
    text = subprocess.run([ROOT / "tools" / "readme-program"], check=True, capture_output=True, text=True).stdout
    for name, target in (("my-hypertrace", NATIVE), ("my-hypertrace-aarch64", AARCH64)):
        (tmp_path / name).symlink_to(toolchain.compile_text(text, "my-hypertrace", target))
    require_tool(AARCH64.emulator, "qemu-user")
    return tmp_path


@pytest.mark.parametrize("document", DOCUMENTS)
def test_console_blocks(document: str, directory: Path) -> None:
    blocks = re.findall(r"^```console\n(.*?)^```$", (ROOT / "docs" / document).read_text(), re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        assert _transcript(block, directory) == block


def _transcript(block: str, directory: Path) -> str:
    """What a terminal would show for the block's commands, with placeholders for thread, time and directory."""
    environment = os.environ | {"PATH": f"{HTRUN.parent}:{os.environ['PATH']}"}
    shown = ""
    for command in re.findall(r"^\$ (.*)$", block, re.MULTILINE):
        done = subprocess.run(
            ["sh", "-c", f"{command} 2>&1"], cwd=directory, env=environment, capture_output=True, text=True, timeout=60
        )
        shown += f"$ {command}\n{done.stdout}"
    shown = shown.replace(str(directory), "/home/you")
    return re.sub(r"^\d+@\d+\.\d{6}:", "TID@TIME:", shown, flags=re.MULTILINE)
