"""Tunes the machine for measurements, and restores it afterwards. It does so only on request, and only by writing files
that the user may write."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ROOT = Path("/")


def settings(root: Path = _ROOT) -> dict[Path, str]:
    """The files that determine the speed of processors, each with the content to write for measurements: governor
    ``performance``, turbo off."""
    cpus = root / "sys/devices/system/cpu"
    wanted = dict.fromkeys(sorted(cpus.glob("cpu*/cpufreq/scaling_governor")), "performance")
    wanted |= {path: "1" for path in [cpus / "intel_pstate/no_turbo"] if path.exists()}
    wanted |= {path: "0" for path in [cpus / "cpufreq/boost"] if path.exists()}
    return wanted


@contextmanager
def tuned(report: Callable[[str], None], root: Path = _ROOT) -> Iterator[None]:
    """A context in which the machine is tuned. ``report``: called with a line for each setting that was changed or must
    not be changed. Must be used in the main thread. The settings are always restored at the end of the context, even if
    SIGTERM or SIGHUP ends it."""
    changed: dict[Path, str] = {}
    wanted = settings(root)
    if not wanted:
        report("--tune: this machine has neither a governor nor a turbo setting that can be changed")
    with _unwound_by_signals():
        try:
            for path, value in wanted.items():
                try:
                    before = path.read_text().strip()
                    if before != value:
                        path.write_text(value)
                        changed[path] = before
                        report(f"--tune: {path}: {before} is now {value}")
                except OSError as error:
                    report(f"--tune: {path}: {error.strerror}")
            yield
        finally:
            for path, before in changed.items():
                try:
                    path.write_text(before)
                except OSError as error:
                    report(f"--tune: {path} could not be restored to {before}: {error.strerror}")


@contextmanager
def _unwound_by_signals() -> Iterator[None]:
    """A context that SIGTERM and SIGHUP leave by an exception. htrun then exits with the status that a shell would
    report."""

    def end(number: int, frame: object) -> NoReturn:
        raise SystemExit(128 + number)

    former = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    # An ignored signal stays ignored, as under nohup.
    taken = [number for number, action in former.items() if action != signal.SIG_IGN]
    for number in taken:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, former[number])
