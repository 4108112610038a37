"""The summary's file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from htrun.errors import HtrunError
from htrun.sinks.summary import SummaryFile


def test_a_summary_replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    path.write_text("old")
    summary = SummaryFile(path)
    assert path.read_text() == "old"
    summary.write({"events": 1})
    assert json.loads(path.read_text()) == {"events": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("target")
    SummaryFile(tmp_path / "link").write({"events": 1})
    assert json.loads((tmp_path / "target").read_text()) == {"events": 1}
    assert (tmp_path / "link").is_symlink()


def test_it_may_go_to_standard_output() -> None:
    code = (
        "import os; from pathlib import Path; from htrun.sinks.summary import SummaryFile; "
        "summary = SummaryFile(Path('/dev/stdout')); os.close(1); summary.write({'events': 1})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"events": 1}


def test_what_cannot_be_written_is_said_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "no" / "summary", tmp_path / "file" / "summary"):
        with pytest.raises(HtrunError, match="cannot write"):
            SummaryFile(path)


@pytest.mark.parametrize("path", [Path("/dev/full"), Path("/nonexistent/summary")])
def test_a_failure_at_the_end_is_one_line(path: Path) -> None:
    with pytest.raises(HtrunError, match=f"cannot write {path}"):
        SummaryFile(path).write({"events": 1})


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "summary"
    path.write_text("old")

    def fail(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(HtrunError):
        SummaryFile(path).write({})
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
