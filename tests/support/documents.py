"""The fenced blocks of documents, and what a terminal would show for the commands in them."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from tests.support.run import HTRUN
from tests.support.toolchain import ROOT


def fenced(document: str, language: str) -> list[str]:
    """The contents of all blocks of ``language`` in a file of docs/; AssertionError if there are none."""
    text = (ROOT / "docs" / document).read_text()
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert blocks, f"{document} has no block of {language}"
    return blocks


def transcript(block: str, directory: Path, *, warnings: bool = True, timeout: float = 60) -> str:
    """The commands of ``block`` with what they print, with placeholders for thread, time and directory.

    ``warnings``: whether standard error is shown of commands that succeed, too.
    """
    environment = os.environ | {"PATH": f"{HTRUN.parent}:{os.environ['PATH']}"}
    shown = ""
    for command in re.findall(r"^\$ (.*)$", block, re.MULTILINE):
        done = subprocess.run(
            ["sh", "-c", f"{command} 2>&1" if warnings else command],
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
    """What a terminal showed, with placeholders for threads and times."""
    return re.sub(r"^\d+@\d+\.\d{6}:", "TID@TIME:", shown, flags=re.MULTILINE)
