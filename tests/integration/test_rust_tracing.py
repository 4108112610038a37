"""The layer for the Rust crate `tracing`: its spans and events are recorded with their names and fields."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

import htrun as library
from htrun.analysis.trace import Trace
from lab.debian import Unpacked
from lab.once import make_once
from tests.support.languages import SOURCES, run
from tests.support.requirements import require_tool, required
from tests.support.run import HTRUN
from tests.support.toolchain import ROOT, Toolchain

THREADS, COUNT = 8, 1000
_CRATES = (
    *("tracing", "tracing-core", "tracing-subscriber"),
    *("sharded-slab", "thread-local", "once-cell", "lazy-static", "pin-project-lite", "cfg-if"),
)
_MANIFEST = """
[package]
name = "program"
version = "0.0.0"
edition = "2021"

[dependencies]
hypertrace = {{ path = "{rust}" }}
hypertrace-tracing = {{ path = "{rust}/tracing" }}
tracing = {{ version = "0.1", default-features = false, features = ["std"] }}
tracing-subscriber = {{ version = "0.3", default-features = false, features = ["registry", "std"] }}
"""
_SOURCES_OF_CRATES = """
[source.crates-io]
replace-with = "debian"

[source.debian]
directory = "{crates}"
"""


@pytest.fixture(scope="module")
def program(toolchain: Toolchain) -> Path:
    """The program, built with the crates that Debian packages."""
    cargo = require_tool("cargo", "cargo")
    patterns = tuple(f"librust-{crate}-dev" for crate in _CRATES)
    with required():
        crates = Unpacked("rust-crates", "bookworm", patterns).directory() / "usr" / "share" / "cargo" / "registry"

    def build(directory: Path) -> None:
        (directory / "src").mkdir(parents=True)
        (directory / ".cargo").mkdir()
        shutil.copy(SOURCES / "tracing.rs", directory / "src" / "main.rs")
        (directory / "Cargo.toml").write_text(_MANIFEST.format(rust=ROOT / "guest" / "rust"))
        (directory / ".cargo" / "config.toml").write_text(_SOURCES_OF_CRATES.format(crates=crates))
        run(cargo, "build", "--release", "--offline", "--quiet", directory=directory, RUSTFLAGS="-D warnings")

    return make_once(toolchain.build / "languages" / "rust-tracing", build) / "target" / "release" / "program"


def _record(directory: Path, *command: str | Path) -> Trace:
    trace = directory / "trace"
    words = [HTRUN, "-o", trace, *command]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return library.open(trace)


def test_spans_and_events_have_their_names_and_fields(tmp_path: Path, program: Path) -> None:
    trace = _record(tmp_path, "--hypertrace", tmp_path / "channel,args=8", program)
    events = [(each.name, each.phase, {k: v for k, v in each.values.items() if k != "span"}) for each in trace]
    lines = enumerate((SOURCES / "tracing.rs").read_text().splitlines(), 1)
    point = next(f"event src/main.rs:{number}" for number, line in lines if " info!(" in line)
    assert events == [
        part
        for size in (4096, 5)
        for part in (
            ("request", "begin", {"size": size, "ratio": 0.25}),
            ('parse "header"', "begin", {"ok": True}),
            ('parse "header"', "end", {}),
            (point, "instant", {"request_left": -3, "last": size == 5}),
            ("request", "end", {}),
        )
    ]
    spans = trace.spans()
    assert Counter(str(spans.names[row["name"]]) for row in spans.to_numpy()) == {"request": 2, 'parse "header"': 2}


def test_arguments_for_which_there_is_no_room_are_left_out(tmp_path: Path, program: Path) -> None:
    trace = _record(tmp_path, "--hypertrace", tmp_path / "channel,args=3", program)
    begins = [dict(each.values) for each in trace if each.name == "request" and each.phase == "begin"]
    assert [set(each) for each in begins] == [{"span", "size"}] * 2


def test_threads_lose_nothing(tmp_path: Path, program: Path) -> None:
    trace = _record(tmp_path, program, str(THREADS), str(COUNT))
    keys = Counter(int(str(event.values["key"])) for event in trace if event.phase == "begin")
    assert keys == Counter(number << 32 | i for number in range(THREADS) for i in range(COUNT // 2))
    assert len(trace.spans().to_numpy()) == THREADS * COUNT // 2


def test_without_htrun(program: Path) -> None:
    done = subprocess.run([program, "2", "1000"], capture_output=True, text=True, timeout=600, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
