"""The programs of docs/examples: they do the same under htrun as alone, and every event is recorded."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path

import htrun
from tests.support.hypertrace import HYPERTRACE
from tests.support.run import HTRUN
from tests.support.toolchain import GUEST_LIBRARY, ROOT

SERVER = ROOT / "docs" / "examples" / "server"
REQUESTS = 100
CHECKPOINTS = 3


def test_the_server(tmp_path: Path) -> None:
    header: list[str | Path] = [HYPERTRACE, "header", SERVER / "server.toml", "-o", tmp_path / "server.h"]
    subprocess.run(header, check=True)
    library = subprocess.run(["make", "-s", "-C", GUEST_LIBRARY, "path"], check=True, capture_output=True, text=True)
    options = ["-O2", "-Wall", "-Wextra", "-Werror", "-pthread", f"-I{tmp_path}", f"-I{GUEST_LIBRARY}"]
    program = tmp_path / "server"
    subprocess.run(["gcc", *options, "-o", program, SERVER / "server.c", library.stdout.strip()], check=True)
    alone = subprocess.run([program, str(REQUESTS)], check=True, capture_output=True, text=True)
    command: list[str | Path] = [
        HTRUN,
        "-q",
        "--events",
        SERVER / "server.toml",
        "-o",
        tmp_path / "trace",
        program,
        str(REQUESTS),
    ]
    traced = subprocess.run(command, check=True, capture_output=True, text=True)
    assert (traced.stdout, traced.stderr) == (alone.stdout, "")
    phases = Counter((event.name, event.phase) for event in htrun.open(tmp_path / "trace"))
    spans = {"request": REQUESTS, "work": REQUESTS, "lock_wait": REQUESTS, "update": REQUESTS}
    spans["checkpoint"] = CHECKPOINTS
    expected = {(name, phase): count for name, count in spans.items() for phase in ("begin", "end")}
    assert phases == expected | {("queued", "counter"): 2 * REQUESTS}
