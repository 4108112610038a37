"""The fenced blocks of documents, and what a terminal would show for the commands in them."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.run import HTRUN, SECONDS
from tests.support.toolchain import GUEST_LIBRARY, ROOT


def fenced(document: str, language: str) -> list[str]:
    """The contents of all blocks of ``language`` in a file of docs/; AssertionError if there are none."""
    text = (ROOT / "docs" / document).read_text()
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert blocks, f"{document} has no block of {language}"
    return blocks


@dataclass(frozen=True)
class Block:
    """A fenced block of a document. ``file``: the name in the line before it; None if the block is no file."""

    language: str
    content: str
    file: str | None


def blocks(document: str) -> list[Block]:
    """All fenced blocks of a file of docs/ in their order. A block is a file if the paragraph before it ends with its
    name and a colon: "... in `app.c`:"."""
    text = (ROOT / "docs" / document).read_text()
    found = re.findall(r"(?:`([\w.-]+)`:\n\n)?^```([\w-]+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [Block(language, content, file or None) for file, language, content in found]


def transcript(block: str, directory: Path, *, warnings: bool = True, timeout: float = SECONDS) -> str:
    """The commands of ``block`` with what they print, with placeholders for thread, time and directory.

    In them ``HT`` is the directory of the guest library. ``warnings``: whether standard error is also shown for
    commands that succeed.
    """
    environment = os.environ | {"PATH": f"{HTRUN.parent}:{os.environ['PATH']}", "HT": str(GUEST_LIBRARY)}
    # The shell would report a core dump as well.
    terminal = "ulimit -c 0; exec 2>&1;"
    shown = ""
    for command in re.findall(r"^\$ (.*)$", block, re.MULTILINE):
        done = subprocess.run(
            ["sh", "-c", f"{terminal} {command}" if warnings else command],
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        shown += f"$ {command}\n{done.stdout}"
        if done.returncode and not warnings:
            shown += done.stderr
    shown = shown.replace(str(directory), "/home/you")
    return impersonal(shown)


def impersonal(shown: str) -> str:
    """``shown`` with placeholders for threads and times."""
    return re.sub(r"^\d+@\d+\.\d{6}:", "TID@TIME:", shown, flags=re.MULTILINE)
