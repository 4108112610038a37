"""htrun on a host that is not x86-64: under a Python for AArch64, which qemu-user runs.

There, htrun does not trace programs. Events come by rings, with times of that host's counter. The programs are also for
that host, and run under qemu-user, because the kernel cannot run them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from htrun import open as open_trace
from lab.once import make_once
from tests.integration.test_no_ptrace import EARLY, check_times
from tests.integration.test_rings import GUESTS, check_exact
from tests.support.arm64_python import python
from tests.support.requirements import require_tool
from tests.support.run import SECONDS, Htrun, Result
from tests.support.server_trace import SERVER
from tests.support.targets import AARCH64, NATIVE
from tests.support.toolchain import Toolchain

pytestmark = pytest.mark.heavy("an emulated Python, which is downloaded")

MILLION = 1_000_000
THREADS = ("threads", "2", "5000")
OF_THREADS = {0: 5000, 1: 5000}


def started(htrun: Htrun, options: tuple[str | Path, ...], *program: str | Path) -> Result:
    """Run that htrun."""
    emulator = require_tool("qemu-aarch64", "qemu-user")
    log, summary = htrun.directory / "log", htrun.directory / "summary.json"
    files = ["--hypertrace", htrun.channel, "--summary", summary, *([] if "-o" in options else ["-D", log])]
    own = ["--emulator", emulator, "-L", AARCH64.sysroot, *files, *options]
    command = [str(word) for word in [*python(), "-m", "htrun", *own, "--", *program]]
    done = subprocess.run(command, input="", capture_output=True, text=True, timeout=4 * SECONDS)
    return Result(command, done.returncode, done.stdout, done.stderr, htrun.channel, log, summary)


def test_a_million_events(toolchain: Toolchain, htrun: Htrun) -> None:
    trace, count = htrun.directory / "trace", MILLION // 2
    program = toolchain.compile(GUESTS / "ring_emitters.c", AARCH64)
    result = started(htrun, ("--no-ptrace", "-o", trace), program, "threads", "2", str(count))
    assert (result.status, result.stderr) == (0, "")
    summary = {name: result.summary[name] for name in ("events", "ring_events", "lost", "traps", "warnings")}
    assert summary == {"events": MILLION, "ring_events": MILLION, "lost": 0, "traps": 0, "warnings": {}}
    assert open_trace(trace).environment["clock_source"] == "cntvct"
    numbers: dict[int, list[int]] = {0: [], 1: []}
    for events in open_trace(trace).events():
        for who, found in numbers.items():
            found += events["args"][events["args"][:, 0] == who, 1].tolist()
    assert numbers == {0: list(range(count)), 1: list(range(count))}


def test_an_x86_program_has_another_clock(toolchain: Toolchain, htrun: Htrun) -> None:
    """There, it is a foreign program."""
    program = toolchain.compile(GUESTS / "ring_emitters.c", NATIVE)
    emulator = require_tool("qemu-x86_64", "qemu-user")
    check_exact(started(htrun, ("--no-ptrace", "--emulator", emulator, "-L", "/"), program, *THREADS), OF_THREADS)


def test_what_htrun_says(toolchain: Toolchain, htrun: Htrun) -> None:
    """Without --no-ptrace, one line says that this host does not support tracing. Options that need tracing are
    rejected."""
    program, done = toolchain.compile_text(EARLY, "early", AARCH64), htrun.directory / "done"
    result = started(htrun, (), program, done).check()
    assert result.stderr == (
        "htrun: warning: cannot trace (htrun traces programs on x86-64 only): the program runs untraced, so only "
        "events that the guest library writes to rings are recorded (--no-ptrace)\n"
    )
    check_times(result)
    result = started(htrun, ("--via", "store"), program, done)
    assert (result.status, result.stderr) == (
        125,
        "htrun: cannot trace: htrun traces programs on x86-64 only; use --no-ptrace, and programs with the guest "
        "library\n",
    )


READING: list[tuple[str, ...]] = [
    ("info", "trace"),
    ("print", "trace"),
    ("stat", "trace"),
    ("slowest", "trace"),
    ("compare", "trace", "trace"),
    ("convert", "trace", "out.csv"),
    ("convert", "trace", "out.pftrace"),
    ("view", "trace", "-o", "out.html"),
]


@pytest.mark.parametrize("words", READING, ids=lambda words: words[0])
def test_verbs_that_read_traces(words: tuple[str, ...], toolchain: Toolchain, tmp_path: Path) -> None:
    """Their output and files are the same as on x86-64."""
    (tmp_path / "trace").symlink_to(make_once(toolchain.build / "trace-of-arm64", lambda at: record(toolchain, at)))
    outputs: list[dict[str, bytes]] = []
    for command in ([sys.executable], python()):
        full = [*map(str, command), "-m", "htrun.commands.hypertrace", *words]
        done = subprocess.run(full, capture_output=True, timeout=2 * SECONDS, cwd=tmp_path, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done
        written = {path.name: path.read_bytes() for path in tmp_path.glob("out.*")}
        outputs.append({"printed": done.stdout + done.stderr, **written})
        for path in tmp_path.glob("out.*"):
            path.unlink()
    assert outputs[0] == outputs[1]
    assert outputs[0]["printed"] or len(outputs[0]) == 2


def record(toolchain: Toolchain, trace: Path) -> None:
    """Record a trace of the example server."""
    directory = trace.parent
    events = SERVER / "server.toml"
    command = [sys.executable, "-m", "htrun.commands.hypertrace", "header", str(events)]
    (directory / "server.h").write_bytes(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    program = toolchain.compile(SERVER / "server.c", AARCH64, flags=(f"-I{directory}",))
    result = started(Htrun(directory), ("--no-ptrace", "--events", events, "-o", trace), program, "200")
    assert (result.status, result.stderr) == (0, "")
