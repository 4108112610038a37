"""Starting htrun from a bench, and checking that it recorded what the guest emitted."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench.outcome import FailedError
from bench.workshop import MEMORY, Plan, Workshop


@cache
def command() -> tuple[str, ...]:
    """The words that start htrun: the installed script, which starts faster, or else the module."""
    script = Path(sys.executable).with_name("htrun")
    return (str(script),) if script.exists() else (sys.executable, "-m", "htrun")


def hypertrace() -> tuple[str, ...]:
    """The words that start ``hypertrace``."""
    script = Path(sys.executable).with_name("hypertrace")
    return (str(script),) if script.exists() else (sys.executable, "-m", "htrun.commands.hypertrace")


@dataclass(frozen=True)
class Account:
    """Facts from htrun's summary: recorded events, lost events, traps."""

    events: int
    lost: int
    traps: int

    def check(self, emitted: int) -> None:
        """Raises `FailedError` unless each of ``emitted`` events was recorded."""
        if (self.events, self.lost) != (emitted, 0):
            raise FailedError(f"the guest emitted {emitted} events, htrun recorded {self.events} and lost {self.lost}")


@dataclass(frozen=True)
class Traced:
    """One run of htrun.

    ``words``: the command line up to the program; ``trace``, ``summary``: the paths that it will write.
    """

    words: list[str]
    trace: Path
    summary: Path

    def account(self) -> Account:
        """The counts of the finished run. Raises `FailedError` if there is no summary."""
        try:
            found = json.loads(self.summary.read_text())
            return Account(**{key: int(found[key]) for key in ("events", "lost", "traps")})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FailedError(f"htrun wrote no proper summary: {error!r}") from error


def traced(directory: Path, *options: str) -> Traced:
    """htrun with its files in ``directory``, which is empty, and a native trace.

    Events are stores, unless ``options`` contain another ``--via``.
    """
    trace, summary = directory / "trace", directory / "summary.json"
    words = [
        *command(),
        "--via",
        "store",
        "--hypertrace",
        str(directory / "channel"),
        "-o",
        str(trace),
        "--summary",
        str(summary),
    ]
    return Traced([*words, *options, "--"], trace, summary)


def patches(shop: Workshop, program: Sequence[str], *options: str) -> bool:
    """Whether the guest's sites are patched, from a short run: a trap for each event costs a thousand times more."""
    plan = Plan(events=100, bursts=5, warmup=0, singles=0)
    with shop.temporary_directory(MEMORY) as directory:
        run = traced(directory, *options)
        shop.measure([*run.words, *program], plan)
        account = run.account()
    account.check(plan.emitted)
    return account.traps < plan.emitted // 2


def works() -> None:
    """Raises `FailedError` if htrun cannot even print its version."""
    done = subprocess.run([*command(), "--version"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise FailedError(f"`{' '.join(command())} --version` ended with {done.returncode}: {lines[-1]}")


def without_options(program: Sequence[str]) -> list[str]:
    """The simplest command line: ``htrun -- PROGRAM``."""
    return [*command(), "--", *program]
