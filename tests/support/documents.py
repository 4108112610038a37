"""Finds the fenced blocks of documents, and runs the commands in them, with their output as on a terminal."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.run import HTRUN, SECONDS
from tests.support.toolchain import GUEST_LIBRARY, ROOT

_LOGGED = re.compile(r"^\d+@\d+\.\d{6}:", re.MULTILINE)


def fenced(document: str, language: str) -> list[str]:
    """The contents of all fenced blocks of ``language`` in a file of docs/. Raises AssertionError if there are none."""
    text = (ROOT / "docs" / document).read_text()
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert blocks, f"{document} has no block of {language}"
    return blocks


@dataclass(frozen=True)
class Block:
    """A fenced block of a document. ``file``: the name of the file whose content the block shows; None if it shows
    none."""

    language: str
    content: str
    file: str | None


def blocks(document: str) -> list[Block]:
    """All fenced blocks of a file of docs/, in their order. A block shows the content of a file if the paragraph before
    it ends with the file's name and a colon: "... in `app.c`:"."""
    text = (ROOT / "docs" / document).read_text()
    found = re.findall(r"(?:`([\w.-]+)`:\n\n)?^```([\w-]+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [Block(language, content, file or None) for file, language, content in found]


def transcript(block: str, directory: Path, *, warnings: bool = True, timeout: float = SECONDS) -> str:
    """Run the commands of ``block`` in ``directory``. Returns the commands and their output, with placeholders for
    threads, times and ``directory``.

    In the commands, the variable ``HT`` is the directory of the guest library. ``warnings``: whether the result also
    contains the standard error of commands that succeed. The lines of htrun's log are after all others: the program and
    htrun write at the same time, so on a terminal either may be first.
    """
    environment = os.environ | {"PATH": f"{HTRUN.parent}:{os.environ['PATH']}", "HT": str(GUEST_LIBRARY)}
    # Without this limit, the shell would also report core dumps.
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
        shown += f"$ {command}\n{_log_last(done.stdout)}"
        if done.returncode and not warnings:
            shown += done.stderr
    shown = shown.replace(str(directory), "/home/you")
    return impersonal(shown)


def _log_last(output: str) -> str:
    return "".join(sorted(output.splitlines(keepends=True), key=lambda line: _LOGGED.match(line) is not None))


def impersonal(shown: str) -> str:
    """``shown``, the output of commands, with placeholders for threads and times."""
    return _LOGGED.sub("TID@TIME:", shown)
