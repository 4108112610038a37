"""Runs a program under htrun, and reads everything that htrun writes."""

from __future__ import annotations

import ctypes
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from htrun.launch import launcher

HTRUN = Path(sys.executable).with_name("htrun")
"""The path of the installed command ``htrun``."""

SECONDS = 240
"""The default time limit of a run, in seconds: far more than a run needs, even on a slow machine."""

IGNORING_CHILDREN = (
    sys.executable,
    "-c",
    "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execvp(sys.argv[1], sys.argv[1:])",
)
"""The first words of a command line. The program after these words is started with SIGCHLD ignored, as some launchers
do."""

_LINE = re.compile(
    r"(?P<tid>\d+)@(?P<seconds>\d+)\.(?P<micros>\d{6}):(?P<name>\w+) cpu=0x(?P<cpu>[0-9a-f]+)  (?P<fields>.*)"
)


def changed_htrun(directory: Path, changes: str, *options: str) -> Path:
    """Make a copy of htrun in ``directory`` whose tracer first runs the Python code ``changes``. ``options``: options
    of the tracer's Python."""
    program = directory / "changed-htrun"
    shutil.copy(launcher.FILE, program)
    script = Path(f"{program}-tracer")
    main = "import sys\nfrom htrun.commands.run import main\nsys.exit(main())\n"
    script.write_text(f"#!{sys.executable} {' '.join(options)}\n{changes}\n{main}")
    script.chmod(0o755)
    return program


def portable_htrun(directory: Path) -> Path:
    """An htrun in ``directory`` that behaves as on machines on which htrun does not trace programs: it has no launcher
    in assembly."""
    program = directory / "portable-htrun"
    program.write_text(
        f"#!{sys.executable}\n"
        "import sys\n"
        "from htrun import hosts\n"
        "hosts.can_trace = lambda: False\n"
        "hosts.machine = hosts.current\n"
        "from htrun.commands.run import main\n"
        "sys.exit(main())\n"
    )
    program.chmod(0o755)
    return program


def tracer_of(pid: int) -> int:
    """The process id of the tracer of a process that runs under htrun."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("TracerPid:"))


def tell_to_end(tracer: int) -> None:
    """Stop a tracer, as ``kill -q 0 -TERM`` does."""
    if ctypes.CDLL(None, use_errno=True).sigqueue(tracer, signal.SIGTERM, ctypes.c_void_p(0)) != 0:
        raise OSError(ctypes.get_errno(), f"sigqueue to {tracer}")


@dataclass(frozen=True)
class LogEvent:
    """One line of the log. ``time``: microseconds since the epoch. ``args``: the arguments, from ``arg1`` on."""

    tid: int
    time: int
    name: str
    cpu: int
    index: int
    args: tuple[int, ...]

    @classmethod
    def parse(cls, line: str) -> LogEvent:
        """Parse a ``guest_hypertrace`` line. Raises AssertionError if the line is incomplete, or is the line of another
        event."""
        match = _LINE.fullmatch(line)
        assert match, f"not an event's line: {line!r}"
        fields = dict(field.split("=", 1) for field in match["fields"].split(" "))
        index = int(fields.pop("index"))
        assert list(fields) == [f"arg{number}" for number in range(1, len(fields) + 1)], line
        assert all(re.fullmatch("0x[0-9a-f]{16}", value) for value in fields.values()), line
        time = int(match["seconds"]) * 1_000_000 + int(match["micros"])
        args = tuple(int(value, 16) for value in fields.values())
        return cls(int(match["tid"]), time, match["name"], int(match["cpu"], 16), index, args)


@dataclass(frozen=True)
class Result:
    """The results of a run of htrun. ``status``: the exit status, or the negated number of the signal that has killed
    htrun."""

    command: list[str]
    status: int
    stdout: str
    stderr: str
    channel: Path
    log: Path
    summary_file: Path

    @cached_property
    def events(self) -> list[LogEvent]:
        """The events in the log, in the order of the log."""
        return [LogEvent.parse(line) for line in self.log.read_text().splitlines()]

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The content of the file that ``--summary`` has written."""
        summary: dict[str, Any] = json.loads(self.summary_file.read_text())
        return summary

    def check(self) -> Result:
        """Check that the run has succeeded, has removed the channel, and has lost no event. Returns this result."""
        told = f"{' '.join(self.command)}: status {self.status}\n{self.stdout}{self.stderr}"
        assert self.status == 0, told
        assert not os.path.lexists(self.channel), told
        assert self.summary["lost"] == 0, told
        assert self.summary["events"] == len(self.events), told
        return self


@dataclass(frozen=True)
class Htrun:
    """Runs htrun, with the channel, the log and the summary in ``directory``. Only one run at a time is possible.

    ``program``: the command.
    """

    directory: Path
    program: Path = HTRUN

    @property
    def channel(self) -> Path:
        """The channel's path, which is the value of ``--hypertrace``. Some guests take it as an argument."""
        return self.directory / "channel"

    def command(self, *options: str | Path) -> list[str]:
        """The command line before the program: htrun, its files, ``options`` and ``--``. The guest library emits events
        by stores, unless ``options`` contain another ``--via``."""
        assert self.program.exists(), f"{self.program} is not installed; run: make setup"
        files = ["-D", self.directory / "log", "--summary", self.directory / "summary.json"]
        return [
            str(word) for word in [self.program, "--via", "store", "--hypertrace", self.channel, *files, *options, "--"]
        ]

    def run(
        self,
        *program: str | Path,
        options: tuple[str | Path, ...] = (),
        env: dict[str, str] | None = None,
        stdin: str = "",
        timeout: float = SECONDS,
    ) -> Result:
        """Run ``program`` (a path and its arguments) under htrun with further ``options``.

        ``env`` is added to the environment; ``timeout`` is in seconds.
        """
        (self.directory / "log").unlink(missing_ok=True)
        (self.directory / "summary.json").unlink(missing_ok=True)
        command = [*self.command(*options), *map(str, program)]
        done = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            env=os.environ | (env or {}),
            timeout=timeout,
        )
        return Result(
            command,
            done.returncode,
            done.stdout,
            done.stderr,
            self.channel,
            self.directory / "log",
            self.directory / "summary.json",
        )
