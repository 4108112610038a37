"""A machine made quiet for measurements, and put back afterwards. Only on request, and only what the user may write."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

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
    """A block in which the machine is tuned. ``tell``: is told what was changed, put back, or may not be."""
    changed: dict[Path, str] = {}
    wanted = settings(root)
    if not wanted:
        tell("--tune: this machine shows neither governor nor turbo: nothing to tune")
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
                tell(f"--tune: {path} could not be put back to {before}: {error.strerror}")
