"""A machine made quiet for measurements, and put back afterwards. Only on request, and only what the user may write."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ROOT = Path("/")


def settings(root: Path = _ROOT) -> dict[Path, str]:
    """The files that decide over a processor's speed, and what they should hold: governor performance, no turbo."""
    cpus = root / "sys/devices/system/cpu"
    wanted = dict.fromkeys(sorted(cpus.glob("cpu*/cpufreq/scaling_governor")), "performance")
    wanted |= {path: "1" for path in [cpus / "intel_pstate/no_turbo"] if path.exists()}
    wanted |= {path: "0" for path in [cpus / "cpufreq/boost"] if path.exists()}
    return wanted


@contextmanager
def tuned(tell: Callable[[str], None], root: Path = _ROOT) -> Iterator[None]:
    """A block in which the machine is tuned. ``tell``: is told what was changed, put back, or may not be. For the main
    thread: whatever ends the block, a signal that asks for it included, the machine is put back first."""
    changed: dict[Path, str] = {}
    wanted = settings(root)
    if not wanted:
        tell("--tune: this machine shows neither governor nor turbo: nothing to tune")
    with _unwound_by_signals():
        try:
            for path, value in wanted.items():
                try:
                    before = path.read_text().strip()
                    if before != value:
                        path.write_text(value)
                        changed[path] = before
                        tell(f"--tune: {path}: {before} is now {value}")
                except OSError as error:
                    tell(f"--tune: {path}: {error.strerror}")
            yield
        finally:
            for path, before in changed.items():
                try:
                    path.write_text(before)
                except OSError as error:
                    tell(f"--tune: {path} could not be restored to {before}: {error.strerror}")


@contextmanager
def _unwound_by_signals() -> Iterator[None]:
    """A block that SIGTERM and SIGHUP end as an exception does, with the status that a shell would tell."""

    def end(number: int, frame: object) -> NoReturn:
        raise SystemExit(128 + number)

    former = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    # What nohup has made ignored stays so.
    taken = [number for number, action in former.items() if action != signal.SIG_IGN]
    for number in taken:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, former[number])
