"""The tools to build and run benches: compilers, temporary directories, processes, and cleaning up."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from statistics import median

from bench.outcome import Burst, FailedError, Sample, UnavailableError

SOURCE = Path(__file__).parent
TOP = SOURCE.parent
BUILD = SOURCE / "build"
GUEST_LIBRARY = TOP / "guest" / "user"
MEMORY = Path("/dev/shm")

_CFLAGS = ("-O2", "-g", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-pthread")
_PATIENCE = 120
"""The time in seconds after which a run is considered to hang. It is much longer than the longest run, so that it never
affects a figure.
"""


@dataclass(frozen=True)
class Plan:
    """The work of a measured program: the arguments of ``measure.h``, which documents them.

    A burst should take at most a few milliseconds. It is then shorter than the time slices of a busy machine, so that
    most bursts have the processor for themselves. Many short bursts are better than a few long ones, because some of
    them also have the core for themselves (`bench.disturbance`). A few tenths of a millisecond are best.

    htrun removes a record from its ring about 15 ms after it was written. The events that the guest emits during this
    time fit into the ring. So a burst shows the cost of an event while htrun keeps up. The sustained bench shows the
    cost while htrun does not keep up.
    """

    events: int = 10_000
    bursts: int = 60
    warmup: int = 12
    pause_us: int = 5_000
    singles: int = 10_000
    threads: int = 1
    cpu: int = 1
    own_cpu: int = 1

    def arguments(self) -> list[str]:
        """The arguments of the program for this plan."""
        return [f"{item.name}={getattr(self, item.name)}" for item in fields(self)]

    @property
    def emitted(self) -> int:
        """The number of events in a whole run, including the warm-up and single events."""
        return self.threads * (self.events * (self.warmup + self.bursts) + self.singles)

    def scaled(self, factor: float) -> Plan:
        """The same plan, with the numbers of bursts and single events multiplied by ``factor``, at least 1 each. The
        warm-up is the same."""
        return replace(self, bursts=max(1, int(self.bursts * factor)), singles=int(self.singles * factor))

    def without_singles(self) -> Plan:
        """The same plan without single events."""
        return replace(self, singles=0)


@dataclass(frozen=True)
class Workshop:
    """One run of the benchmarks.

    ``quick``: whether runs are shortened. ``scratch``: a directory that is removed after the run. ``cleanup``: undoes
    the preparation of benches, in reverse order. ``built``: what each program was built from.
    """

    quick: bool
    scratch: Path
    cleanup: ExitStack
    built: dict[Path, tuple[str, ...]] = field(default_factory=dict)

    def plan(self, plan: Plan) -> Plan:
        """``plan``, shortened in a quick run."""
        return plan.scaled(0.25) if self.quick else plan

    def build(self, source: str, *flags: str, name: str | None = None, compiler: str = "gcc") -> Path:
        """Compile ``source`` (below bench/) and return the program. It is compiled in each run, which is quick.

        ``name``: the name of the program, by default that of the source. Raises ValueError if another program has it.
        """
        if shutil.which(compiler) is None:
            raise UnavailableError(f"no compiler {compiler}: install the Debian package that holds it")
        program = BUILD / self.target(compiler) / (name or Path(source).stem)
        if self.built.setdefault(program, (source, *flags)) != (source, *flags):
            raise ValueError(f"two programs of the benches have the name {program.name}")
        program.parent.mkdir(parents=True, exist_ok=True)
        self.call([compiler, *_CFLAGS, "-o", str(program), str(SOURCE / source), *flags])
        return program

    def build_guest(self, source: str, *flags: str, name: str | None = None, compiler: str = "gcc") -> Path:
        """Compile a static program with the guest library, which is also built for the compiler's target."""
        if shutil.which(compiler) is None:
            raise UnavailableError(f"no compiler {compiler}: install the Debian package that holds it")
        self.call(["make", "--silent", "-C", str(GUEST_LIBRARY), f"CC={compiler}"])
        library = GUEST_LIBRARY / "build" / self.target(compiler) / "libqemu-hypertrace-guest.a"
        return self.build(source, *flags, str(library), f"-I{GUEST_LIBRARY}", "-static", name=name, compiler=compiler)

    def target(self, compiler: str) -> str:
        """The compiler's target triplet."""
        return self.call([compiler, "-dumpmachine"]).strip()

    def directory(self, parent: Path | None = None) -> Path:
        """A new empty directory in ``parent`` (default: `scratch`). It is removed after the run."""
        made = tempfile.mkdtemp(prefix="htrun-bench-", dir=parent or self.scratch)
        self.cleanup.callback(shutil.rmtree, made, ignore_errors=True)
        return Path(made)

    @contextmanager
    def temporary_directory(self, parent: Path) -> Iterator[Path]:
        """A context manager for a directory in ``parent``, which is removed at the end of the block, since a trace may
        be large."""
        with tempfile.TemporaryDirectory(prefix="htrun-bench-", dir=parent) as made:
            yield Path(made)

    def call(
        self, command: Sequence[str], environment: Mapping[str, str] | None = None, user: int | None = None
    ) -> str:
        """Run a command and return its standard output. Raises `FailedError` with the command's output."""
        done = subprocess.run(
            command,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
            check=False,
        )
        if done.returncode != 0:
            output = (done.stderr + done.stdout).strip()
            raise FailedError(f"`{' '.join(command)}` ended with {done.returncode}: {output[-2000:]}")
        return done.stdout

    def measure(
        self,
        command: Sequence[str],
        plan: Plan,
        environment: Mapping[str, str] | None = None,
        user: int | None = None,
    ) -> Sample:
        """Run a program that measures itself with ``measure.h``.

        The value of the sample is the median of the program's bursts, in ns per event.
        """
        return parse_measurement(self.call([*command, *plan.arguments()], environment, user))


def parse_measurement(output: str) -> Sample:
    """The sample in the last line of ``output``, which is the output of a measured program. Raises `FailedError`."""
    lines = output.splitlines() or [""]
    try:
        found = json.loads(lines[-1])
        bursts = tuple(Burst(ns, probe) for ns, probe in zip(found["ns"], found["probe"], strict=True))
        value = median(burst.ns for burst in bursts)
        return Sample(value, found.get("p50"), found.get("p99"), bursts=bursts)
    except (ValueError, KeyError, TypeError) as error:
        raise FailedError(f"no measurement in the output: {output[-500:]!r}") from error


def last_processor() -> int:
    """The processors that this process may use. The machine does its own work on the first processor."""
    return max(os.sched_getaffinity(0))


def needs_processors(count: int) -> None:
    """Raise `UnavailableError` if this process may use fewer than ``count`` processors."""
    usable = len(os.sched_getaffinity(0))
    if usable < count:
        raise UnavailableError(f"needs {count} processors, has {usable}")
