"""Starts htrun from a bench, and checks that htrun has recorded all events of the guest."""

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
    """The words that start htrun: the path of the installed script, which starts faster, otherwise Python with the
    module."""
    script = Path(sys.executable).with_name("htrun")
    return (str(script),) if script.exists() else (sys.executable, "-m", "htrun")


def hypertrace() -> tuple[str, ...]:
    """The words that start ``hypertrace``."""
    script = Path(sys.executable).with_name("hypertrace")
    return (str(script),) if script.exists() else (sys.executable, "-m", "htrun.commands.hypertrace")


@dataclass(frozen=True)
class Account:
    """The figures of htrun's summary: the numbers of recorded events, of lost events and of traps."""

    events: int
    lost: int
    traps: int

    def check(self, emitted: int) -> None:
        """Raise `FailedError` unless all of the ``emitted`` events were recorded."""
        if (self.events, self.lost) != (emitted, 0):
            raise FailedError(f"the guest emitted {emitted} events, htrun recorded {self.events} and lost {self.lost}")


@dataclass(frozen=True)
class Traced:
    """One run of htrun.

    ``words``: the command line up to the program; ``trace``, ``summary``: the files that htrun will write.
    """

    words: list[str]
    trace: Path
    summary: Path

    def account(self) -> Account:
        """The figures of the finished run. Raises `FailedError` if there is no summary."""
        try:
            found = json.loads(self.summary.read_text())
            return Account(**{key: int(found[key]) for key in ("events", "lost", "traps")})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FailedError(f"htrun wrote no proper summary: {error!r}") from error


def traced(directory: Path, *options: str) -> Traced:
    """A run of htrun with a native trace. ``directory``: an empty directory for its files.

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
    """Whether the sites of the guest ``program`` are patched: a trap for each event costs a thousand times more. Runs
    the program briefly."""
    plan = Plan(events=100, bursts=5, warmup=0, singles=0)
    with shop.temporary_directory(MEMORY) as directory:
        run = traced(directory, *options)
        shop.measure([*run.words, *program], plan)
        account = run.account()
    account.check(plan.emitted)
    return account.traps < plan.emitted // 2


def works() -> None:
    """Raise `FailedError` if htrun cannot even print its version."""
    done = subprocess.run([*command(), "--version"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise FailedError(f"`{' '.join(command())} --version` ended with {done.returncode}: {lines[-1]}")


def without_options(program: Sequence[str]) -> list[str]:
    """The simplest command line: ``htrun -- PROGRAM``."""
    return [*command(), "--", *program]
