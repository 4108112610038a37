"""What the documents show is what the commands do: each console block is run, and its output compared."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.documents import fenced, impersonal, transcript
from tests.support.requirements import require_tool
from tests.support.targets import AARCH64, NATIVE
from tests.support.toolchain import ROOT, Toolchain

DOCUMENTS = ("../README.md", "quick-guide.md", "troubleshooting.md", "view.md")


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
    for block in fenced(document, "console"):
        assert transcript(block, directory) == impersonal(block)


def test_formats(directory: Path) -> None:
    """Its console blocks use the file of names that it shows."""
    [names] = fenced("formats.md", "toml")
    (directory / "events.toml").write_text(names)
    for block in fenced("formats.md", "console"):
        assert transcript(block, directory) == block
