"""A session of LTTng-UST, with a separate session daemon."""

from __future__ import annotations

import os
import pwd
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.outcome import FailedError, UnavailableError
from bench.workshop import MEMORY, SOURCE, Workshop

_SUB_BUFFERS = ("--subbuf-size=4M", "--num-subbuf=8")
"""32 MiB of buffers for each processor. With larger buffers, events do not cost less. With the default buffers, more
events are lost.
"""
_SHARED = "lttng-ust-wait-8"
"""The name of the file that LTTng-UST 2.13 leaves in shared memory for root's daemon. For other users, the user id is
appended."""


@dataclass(frozen=True)
class Session:
    """A running session, which records from `start` to `stop`.

    A daemon of root would serve the whole machine. So if the user is root, the session runs as the user `nobody`.
    """

    shop: Workshop
    home: Path
    output: Path
    program: Path
    user: int | None
    environment: dict[str, str]

    def command(self, *words: str) -> str:
        """Run ``lttng WORDS`` and return its output."""
        return self.shop.call(["lttng", *words], self.environment, self.user)

    def discarded(self) -> int:
        """The number of events lost so far because the buffers were full."""
        found = re.search(r"Discarded events:\s+(\d+)", self.command("list", "bench"))
        if found is None:
            raise FailedError("`lttng list` prints no number of discarded events")
        return int(found[1])


def open_session(shop: Workshop, *, blocking: bool = False) -> Session:
    """Build the program, start the daemon and a recording session. Raises `UnavailableError`.

    ``blocking``: whether the program waits if a buffer is full. If not (LTTng's default), the event is lost.
    """
    for tool, package in (("lttng-sessiond", "lttng-tools"), ("lttng", "lttng-tools")):
        if shutil.which(tool) is None:
            raise UnavailableError(f"no {tool}: apt-get install {package}")
    user = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None
    home = _owned(shop.directory(Path("/tmp")), user)
    output = _owned(shop.directory(MEMORY), user)
    environment = {"LTTNG_HOME": str(home), "HOME": str(home)}
    if blocking:
        environment["LTTNG_UST_ALLOW_BLOCKING"] = "1"
    session = Session(shop, home, output, _program(shop, home), user, environment)
    _start_daemon(session)
    session.command("create", "bench", f"--output={output / 'trace'}")
    on_full = ["--blocking-timeout=inf"] if blocking else []
    session.command("enable-channel", "--session=bench", "--userspace", *_SUB_BUFFERS, *on_full, "channel")
    session.command("enable-event", "--session=bench", "--userspace", "--channel=channel", "htrun_bench:event")
    session.command("start", "bench")
    return session


def _owned(directory: Path, user: int | None) -> Path:
    if user is not None:
        os.chown(directory, user, user)
    return directory


def _program(shop: Workshop, home: Path) -> Path:
    """A copy of the measured program that any user may run."""
    try:
        built = shop.build("rivals/lttng_event.c", f"-I{SOURCE / 'rivals'}", "-llttng-ust", "-ldl")
    except FailedError as error:
        if "lttng/tracepoint.h" in str(error):
            raise UnavailableError("no LTTng-UST headers: apt-get install liblttng-ust-dev") from error
        raise
    return Path(shutil.copy(built, home))


def _start_daemon(session: Session) -> None:
    """Start the daemon. The function returns when the daemon is ready. The daemon is stopped after the run."""
    pid_file = session.home / "sessiond.pid"
    user = os.geteuid() if session.user is None else session.user
    for left_behind in (MEMORY / _SHARED, MEMORY / f"{_SHARED}-{user}"):
        if not left_behind.exists():
            session.shop.cleanup.callback(left_behind.unlink, missing_ok=True)
    session.shop.call(
        ["lttng-sessiond", "--daemonize", "--no-kernel", f"--pidfile={pid_file}"], session.environment, session.user
    )
    daemon = psutil.Process(int(pid_file.read_text()))
    session.shop.cleanup.callback(_end, daemon)


def _end(daemon: psutil.Process) -> None:
    daemon.terminate()
    daemon.wait(timeout=30)
