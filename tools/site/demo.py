"""The demonstration on the site: the time line of the example server as a live page, and reports as they look in a
terminal."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

from tools.site.cast import cast, picture, screens, shown, typed

ROOT = Path(__file__).parents[2]
SERVER = ROOT / "docs" / "examples" / "server"
_STAT = ("stat", "trace", "--no-histograms")
_SLOWEST = ("slowest", "trace", "request", "-n", "1", "--warm")
_TOP = ("top", "--interval", "0.4")
_REQUESTS = 12000
"""In the run that `top` shows: a few seconds."""

PAGE = """# A run to look at

This is a run of the [example server](examples/server/server.c), recorded when this site was built: four workers wait
for the lock that a checkpointer holds. Zoom with the wheel, drag to pan, select a span to see its details;
[the time line](view.md) describes the page. It is a single file, as `hypertrace view` writes it:
[open it alone](timeline.html).

<iframe title="The time line of the example server" src="timeline.html" width="100%" height="760"></iframe>

`hypertrace stat` reports the durations of its spans:

![The terminal with the output of hypertrace stat](images/stat.svg)

`hypertrace slowest` [finds the reason](slowest.md) for the slowest request:

![A terminal in which somebody runs hypertrace slowest](images/slowest.svg)

`hypertrace top` shows a longer run of the server [while it runs](view.md#in-the-terminal):

![A terminal in which hypertrace top shows rates, spans and the latest events](images/top.svg)
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
    images = {"stat": picture(_report(_STAT, directory), _line(_STAT))}
    images["slowest"] = cast(typed(_line(_SLOWEST), _report(_SLOWEST, directory)), _line(_SLOWEST))
    images["top"] = _top(directory)
    for name, image in images.items():
        (directory / f"{name}.svg").write_text(image)
    return {"timeline.html": directory / "timeline.html"} | {
        f"images/{name}.svg": directory / f"{name}.svg" for name in images
    }


def _top(directory: Path) -> str:
    program = ("--", "./server", str(_REQUESTS))
    words: list[str | Path] = [_command("hypertrace"), *_TOP, "--events", str(SERVER / "server.toml"), *program]
    frames = screens(shown(words, directory))
    return cast([(frame, 0.4) for frame in frames[:-1]] + [(frames[-1], 3.0)], _line((*_TOP, *program)))


def _report(words: tuple[str, ...], directory: Path) -> str:
    return shown([_command("hypertrace"), *words], directory)


def _line(words: tuple[str, ...]) -> str:
    return shlex.join(["hypertrace", *words])


def _command(name: str) -> Path:
    return Path(sys.executable).with_name(name)


def _output(command: list[str | Path], directory: Path) -> bytes:
    return subprocess.run(command, check=True, cwd=directory, stdout=subprocess.PIPE).stdout
