"""The format for a path and a name."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from htrun.errors import HtrunError
from htrun.sinks import parquet
from htrun.sinks.facts import TraceFacts
from htrun.sinks.registry import CTF, FORMATS, by_name, by_suffix, choose


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("trace", CTF),
        ("trace.d/", CTF),
        ("a.json", "chrome"),
        ("a.jsonl", "jsonl"),
        ("a.csv", "csv"),
        ("a.parquet", "parquet"),
        ("a.pftrace", "perfetto"),
        ("a.perfetto-trace", "perfetto"),
        ("a.simple", "simple"),
        ("a.log", "log"),
        ("/sys/kernel/tracing/trace_marker", "ftrace"),
        ("/dev/log", "syslog"),
    ],
)
def test_a_path_tells_its_format(path: str, name: str) -> None:
    assert choose(Path(path), None).name == name
    assert choose(Path(path), "csv").name == "csv"


def test_no_two_formats_share_a_name_or_a_suffix() -> None:
    names = [known.name for known in FORMATS]
    suffixes = [suffix for known in FORMATS for suffix in known.suffixes]
    assert len(set(names)) == len(names)
    assert len(set(suffixes)) == len(suffixes)
    assert by_suffix(Path("trace.unknown")) is None
    assert all(importlib.util.find_spec(known.module) for known in FORMATS if known.name != CTF)


def test_an_unknown_format_is_refused_with_those_there_are() -> None:
    with pytest.raises(HtrunError, match="unknown format 'xml'; choose from ctf, log, simple, perfetto"):
        by_name("xml")


def test_what_a_format_lacks_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "find_spec", lambda _: None)
    with pytest.raises(HtrunError, match=r"needs pyarrow; install it with: pip install 'htrun\[arrow\]'"):
        by_name("parquet").open(tmp_path / "a.parquet", TraceFacts())


def test_nothing_is_imported_that_is_not_used(tmp_path: Path) -> None:
    program = f"""
import sys
from pathlib import Path
from htrun.sinks.facts import TraceFacts
from htrun.sinks.registry import FORMATS
for known in FORMATS:
    if known.name not in ("ctf", "ftrace", "syslog"):
        known.open(Path({str(tmp_path)!r}, known.name), TraceFacts())
print(*sys.modules.keys() & {{"numpy", "pyarrow", "perfetto", "duckdb"}})
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "\n"
