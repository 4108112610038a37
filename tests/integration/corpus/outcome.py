"""Runs a command in a new directory, and collects all effects that a caller can see."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.support import leftovers

SECONDS = 240
"""Seconds that one program may take."""


@dataclass(frozen=True)
class Outcome:
    """``code``: CLD_EXITED, CLD_KILLED or CLD_DUMPED; ``status``: exit status or signal; ``files``: the files that it
    leaves, by name."""

    stdout: bytes
    stderr: bytes
    code: int
    status: int
    files: tuple[str, ...]


def observe(command: list[str], directory: Path, mark: str, environment: Mapping[str, str]) -> Outcome:
    """The outcome of ``command``, run in ``directory``, which is created. AssertionError if it takes longer than
    `SECONDS`, or leaves a process.
    """
    directory.mkdir(parents=True)
    process = subprocess.Popen(
        command,
        cwd=directory,
        env={**_environment(mark), **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout
    assert process.stderr
    with process.stdout, process.stderr, ThreadPoolExecutor(2) as readers:
        outputs = [readers.submit(stream.read) for stream in (process.stdout, process.stderr)]
        try:
            stdout, stderr = (output.result(timeout=SECONDS) for output in outputs)
        except TimeoutError:
            told = leftovers.remaining(mark, 0)
            leftovers.kill(mark)
            process.wait()
            raise AssertionError(f"not ended after {SECONDS} s: {command}\n{told}\n{outputs[0].result()!r}") from None
    # WNOWAIT, because only waitid shows whether there was a core dump, and Popen has to reap the child itself.
    ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    process.wait()
    assert ended
    left = leftovers.remaining(mark)
    leftovers.kill(mark)
    assert not left, f"{command} left processes: {left}"
    files = tuple(sorted(re.sub(r"^core\.\d+$", "core.PID", path.name) for path in directory.iterdir()))
    return Outcome(stdout, stderr, ended.si_code, ended.si_status, files)


def _environment(mark: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": "/",
        "LANG": "C",
        leftovers.VARIABLE: mark,
        "CALLER_PID": str(os.getpid()),
        "CALLER_SESSION": str(os.getsid(0)),
        "CALLER_GROUP": str(os.getpgrp()),
    }
