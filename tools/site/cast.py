"""Casts of a terminal: SVG images that show one screen after the other. They need no script, so pages can show them as
images."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

WIDTH = 100
_HEIGHT = 40
_HOME = "\x1b[H"
# The font is one of the reader's machine, because the site loads no files from other sites.
_FORM = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)

Screen = tuple[str, float]
"""The contents of a terminal, and for how many seconds a cast shows them."""


def shown(command: Sequence[str | Path], directory: Path) -> str:
    """All that ``command`` writes to a terminal. Raises CalledProcessError."""
    master, slave = pty.openpty()
    size = {"COLUMNS": str(WIDTH), "LINES": str(_HEIGHT)}
    environment = os.environ | size | {"TERM": "xterm-256color"}
    with (
        subprocess.Popen(command, cwd=directory, stdin=slave, stdout=slave, env=environment) as process,
        open(master, "rb") as end,
    ):
        os.close(slave)
        written = b""
        # When no process has the terminal open any more, reading its other end fails with EIO.
        with suppress(OSError):
            while part := os.read(end.fileno(), 65536):
                written += part
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return written.decode().replace("\r\n", "\n")


def screens(written: str) -> list[str]:
    """The screens in the output of a program that fills the whole terminal: each begins in its upper left corner."""
    _, *parts = written.split(_HOME)
    # The last part is followed by the end of the alternate screen.
    return [part.partition("\x1b[?")[0] for part in parts if part.partition("\x1b[?")[0].strip()]


def picture(text: str, title: str, name: str | None = None) -> str:
    """``text``, with the escape sequences of a terminal, as an SVG image. ``name``: distinguishes its styles from those
    of other pictures in one image."""
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    console.print(Text.from_ansi(text), end="")
    return console.export_svg(title=title, code_format=_FORM, unique_id=name)


def cast(frames: Sequence[Screen], title: str) -> str:
    """An SVG image that shows ``frames`` one after the other, and then begins again. For readers who prefer reduced
    motion it shows only the last of them."""
    total = sum(seconds for _, seconds in frames)
    rules, parts, begin = [], [], 0.0
    # All screens have the height of the highest, so the window does not change its size.
    height = max(text.rstrip("\n").count("\n") for text, _ in frames)
    for number, (text, seconds) in enumerate(frames):
        lines = text.rstrip("\n")
        filled = lines + "\n" * (height - lines.count("\n")) + "\n"
        image = picture(filled, title, f"frame{number}")
        head, _, rest = image.partition(">")
        parts.append(f'<g class="frame" id="frame{number}">{rest.rpartition("</svg>")[0]}</g>')
        from_, to = 100 * begin / total, 100 * (begin + seconds) / total
        visible = "0%" if number == 0 else f"0% {{ visibility: hidden }} {from_:.3f}%"
        shows = f"{visible} {{ visibility: visible }} {to:.3f}% {{ visibility: hidden }}"
        rules.append(f"@keyframes show{number} {{ {shows} }}")
        rules.append(f"#frame{number} {{ animation: show{number} {total:.2f}s step-end infinite }}")
        begin += seconds
    last = f"#frame{len(frames) - 1} {{ visibility: visible }}"
    still = f"@media (prefers-reduced-motion: reduce) {{ .frame {{ animation: none !important }} {last} }}"
    style = "\n".join([".frame { visibility: hidden }", *rules, still])
    return f"{head}>\n<style>\n{style}\n</style>\n{''.join(parts)}</svg>\n"


def typed(command: str, output: str) -> list[Screen]:
    """The frames of a terminal in which somebody types ``command``, and reads its ``output``."""
    prompt = "\x1b[1;32m$\x1b[0m "
    steps = [*range(0, len(command), 3), len(command)]
    typing = [(f"{prompt}{command[:end]}█\n", 0.12) for end in steps]
    return [*typing, (f"{prompt}{command}\n", 0.4), (f"{prompt}{command}\n{output}", 8.0)]
