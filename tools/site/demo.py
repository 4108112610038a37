"""The demonstration on the site: the time line of the example server as a live page, and reports as they look in a
terminal."""

from __future__ import annotations

import io
import os
import pty
import re
import shlex
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[2]
SERVER = ROOT / "docs" / "examples" / "server"
_WIDTH = 100
_REPORTS = {
    "stat": ["stat", "trace", "--no-histograms"],
    "slowest": ["slowest", "trace", "request", "-n", "1", "--warm"],
}
"""Commands, by the name of their picture."""

PAGE = """# A run to look at

This is a run of the [example server](examples/server/server.c), recorded when this site was built: four workers wait
for the lock that a checkpointer holds. Zoom with the wheel, drag to pan, select a span to see its details;
[the time line](view.md) describes the page. It is a single file, as `hypertrace view` writes it:
[open it alone](timeline.html).

<iframe title="The time line of the example server" src="timeline.html" width="100%" height="760"></iframe>

`hypertrace stat` reports the durations of its spans:

![The terminal with the output of hypertrace stat](images/stat.svg)

`hypertrace slowest` [finds the reason](slowest.md) for the slowest request:

![The terminal with the output of hypertrace slowest](images/slowest.svg)
"""


def make(directory: Path) -> dict[str, Path]:
    """Build and run the example server, in ``directory``. Returns the files for the site, by their path there. Raises
    CalledProcessError."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "server.h").write_bytes(_output([_command("hypertrace"), "header", SERVER / "server.toml"], directory))
    flags = shlex.split(_output([_command("hypertrace"), "guest", "--cflags", "--libs"], directory).decode())
    _output(["gcc", "-O2", "-pthread", "-I.", "-o", "server", SERVER / "server.c", *flags], directory)
    names = SERVER / "server.toml"
    _output([_command("htrun"), "--force", "--events", names, "-o", "trace", "./server"], directory)
    _output([_command("hypertrace"), "view", "trace", "--force", "-o", "timeline.html"], directory)
    for name, words in _REPORTS.items():
        (directory / f"{name}.svg").write_text(_picture(words, directory))
    return {"timeline.html": directory / "timeline.html"} | {
        f"images/{name}.svg": directory / f"{name}.svg" for name in _REPORTS
    }


def _command(name: str) -> Path:
    return Path(sys.executable).with_name(name)


def _output(command: list[str | Path], directory: Path) -> bytes:
    return subprocess.run(command, check=True, cwd=directory, stdout=subprocess.PIPE).stdout


def _picture(words: list[str], directory: Path) -> str:
    """The output of ``hypertrace`` with ``words`` on a terminal, as an SVG image."""
    console = Console(record=True, width=_WIDTH, file=io.StringIO())
    console.print(Text.from_ansi(_on_terminal([_command("hypertrace"), *words], directory)), end="")
    # The font is one of the reader's machine, because the site loads no files from other sites.
    form = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    return console.export_svg(title=f"hypertrace {' '.join(words)}", code_format=form)


def _on_terminal(command: list[str | Path], directory: Path) -> str:
    """The output of ``command`` if standard output is a terminal."""
    master, slave = pty.openpty()
    environment = os.environ | {"COLUMNS": str(_WIDTH), "TERM": "xterm-256color"}
    with subprocess.Popen(command, cwd=directory, stdout=slave, env=environment) as process, open(master, "rb") as end:
        os.close(slave)
        shown = b""
        # When no process has the terminal open any more, reading its other end fails with EIO.
        with suppress(OSError):
            while part := os.read(end.fileno(), 65536):
                shown += part
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return shown.decode().replace("\r\n", "\n")
