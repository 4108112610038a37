"""Random programs, natively and under an emulator: every event exactly once, in order, with the right values.

``make test`` runs a few hundred generated programs, always the same ones. To try others::

    HTRUN_PROPERTY_CASES=10000 pytest tests/property

generates 10,000 new programs. A failure prints the programs that hypothesis has shrunk it to.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from tests.property.compare import check, read_log, read_trace
from tests.property.script import Program, encode, for_emulator, programs
from tests.support.requirements import require_tool
from tests.support.run import HTRUN
from tests.support.targets import STATIC
from tests.support.toolchain import Toolchain

INTERPRETER = Path(__file__).parents[1] / "integration" / "guests" / "property_interpreter.c"
SHARED_CODE = "emits from code in memory that other processes may share"
COSTLY_SITE = "It is not patched: "
PROGRAMS_A_RUN = 10
"""The number of programs that run under one htrun."""

_WANTED = int(os.environ.get("HTRUN_PROPERTY_CASES", "0"))
_COMMON = settings(
    deadline=None,
    derandomize=not _WANTED,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


def _cases(usually: int, share: float) -> settings:
    """``usually``: cases in ``make test``; ``share``: the share of the number of cases in the environment."""
    cases = round(_WANTED * share) if _WANTED else usually
    return settings(_COMMON, max_examples=max(1, cases // PROGRAMS_A_RUN))


@dataclass(frozen=True)
class Setting:
    """The options of one run."""

    num_args: int
    patch: bool
    ordered: bool
    ring_size: str

    def options(self) -> list[str]:
        """The command line without the channel's arguments."""
        return [
            *([] if self.patch else ["--no-patch"]),
            *(["--timestamp", "ordered"] if self.ordered else []),
            "--ring-size",
            self.ring_size,
        ]


SETTINGS = st.builds(
    Setting,
    num_args=st.sampled_from((4, 4, 4, 1, 5, 16, 17, 64)),
    patch=st.sampled_from((True, True, True, True, False)),
    ordered=st.booleans(),
    ring_size=st.sampled_from(("64K", "64K", "128K", "1M")),
)
PROGRAMS = st.lists(programs(), min_size=PROGRAMS_A_RUN, max_size=PROGRAMS_A_RUN)


@pytest.fixture(scope="module")
def interpreter(toolchain: Toolchain) -> Path:
    """The interpreter of random programs."""
    return toolchain.compile(INTERPRETER, STATIC)


def run_and_compare(
    interpreter: Path, setting: Setting, batch: list[Program], emulator: tuple[str, ...] = (), cpu: str = ""
) -> None:
    """Run all programs of ``batch`` under one htrun, and compare the trace with their logs."""
    with tempfile.TemporaryDirectory(prefix="htrun-property-", dir=_memory()) as name:
        directory = Path(name)
        (directory / "script").write_bytes(encode(batch))
        channel = f"{directory}/channel,args={setting.num_args},max-clients=16384"
        command: list[str | Path] = [
            HTRUN,
            "--hypertrace",
            channel,
            "-o",
            directory / "trace",
            "--summary",
            directory / "summary",
        ]
        command += [*setting.options(), "--", *emulator, interpreter, directory / "script", directory / "emitted"]
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=os.environ | {"QEMU_CPU": cpu},
            timeout=240,
        )
        note(f"{setting}: {done.stderr}")
        assert done.returncode == 0, f"status {done.returncode}: {done.stderr}"
        # Code in memory that processes may share is one of the kinds of code, and htrun warns of it. It also warns of a
        # site that it cannot patch.
        expected = (SHARED_CODE, COSTLY_SITE)
        warnings = [line for line in done.stderr.splitlines() if not any(words in line for words in expected)]
        assert warnings == [], done.stderr
        log = read_log(directory / "emitted")
        events = check(log, read_trace(directory / "trace", setting.num_args), setting.num_args)
        summary = json.loads((directory / "summary").read_text())
        assert summary["events"] == events
        assert summary["lost"] == 0
        if SHARED_CODE in done.stderr:
            del summary["warnings"]["injection"]
        if COSTLY_SITE in done.stderr:
            del summary["warnings"]["costly-site"]
        assert summary["warnings"] == {}, summary["warnings"]


def _memory() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@_cases(200, 0.9)
@given(SETTINGS, PROGRAMS)
def test_every_event_of_a_native_program_once_and_in_order(
    interpreter: Path, setting: Setting, batch: list[Program]
) -> None:
    run_and_compare(interpreter, setting, batch)


@_cases(50, 0.1)
@given(SETTINGS, PROGRAMS)
def test_every_event_of_an_emulated_program_once_and_in_order(
    interpreter: Path, setting: Setting, batch: list[Program]
) -> None:
    emulator = require_tool("qemu-x86_64", "qemu-user")
    run_and_compare(interpreter, setting, [for_emulator(program) for program in batch], (str(emulator),), "max")
