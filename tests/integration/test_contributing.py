"""The examples in CONTRIBUTING.md work: each is added to a copy of the package, and used."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from htrun.events.stream import Stream
from tests.support.toolchain import ROOT
from tests.unit.analysis.made import Made

TEXT = (ROOT / "CONTRIBUTING.md").read_text()
EXAMPLES = ROOT / "docs" / "examples" / "additions"


def changed(text: str, difference: str) -> str:
    """``text`` after a change that is shown as a diff without line numbers."""
    lines = difference.splitlines()
    before = "".join(f"{line[1:]}\n" for line in lines if line[0] in " -")
    after = "".join(f"{line[1:]}\n" for line in lines if line[0] in " +")
    assert text.count(before) == 1, f"not there, or not only once: {before}"
    return text.replace(before, after)


def differences(table: str) -> list[str]:
    """The changes that the document shows of the file ``table``."""
    _, _, rest = TEXT.partition(f"`{table}`:\n\n")
    shown = re.match(r"(?:```diff\n.*?^```\n\n)+", rest, re.MULTILINE | re.DOTALL)
    assert shown, f"no change of {table} is shown"
    return re.findall(r"```diff\n(.*?)^```", shown[0], re.MULTILINE | re.DOTALL)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A directory with a copy of the package."""
    shutil.copytree(ROOT / "htrun", tmp_path / "htrun", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def add(package: Path, example: str, folder: str, table: str) -> None:
    """Do what the document describes: copy the example and change the table."""
    shutil.copy(EXAMPLES / example, package / folder)
    file = package / table
    for difference in differences(table):
        file.write_text(changed(file.read_text(), difference))


def hypertrace(package: Path, *arguments: str | Path) -> str:
    """The output of the copy's ``hypertrace``."""
    command = [sys.executable, "-m", "htrun.commands.hypertrace", *arguments]
    done = subprocess.run(command, cwd=package, env=os.environ | {"PYTHONPATH": str(package)}, stdout=subprocess.PIPE)
    assert done.returncode == 0
    return done.stdout.decode()


def made(path: Path) -> Path:
    """A trace of three events."""
    return Made(path).packet(Stream(1, 1), [100, 200, 300]).close()


def test_a_verb(package: Path) -> None:
    add(package, "count.py", "htrun/commands", "htrun/commands/hypertrace.py")
    assert hypertrace(package, "count", made(package / "trace"), "--where", "arg1 > 100") == "2\n"
    assert "Count the events of a trace" in hypertrace(package, "--help")


def test_a_sink(package: Path) -> None:
    add(package, "times.py", "htrun/sinks", "htrun/sinks/registry.py")
    hypertrace(package, "convert", made(package / "trace"), "out.times")
    assert (package / "out.times").read_text() == "100\n200\n300\n"


def test_a_reader(package: Path) -> None:
    add(package, "csv_reader.py", "htrun/analysis", "htrun/analysis/reader.py")
    (package / "events.csv").write_text("time_ns,tid,arg1,arg2\n100,7,1,2\n200,8,3,4\n300,7,5,6\n")
    assert len(hypertrace(package, "print", "events.csv", "--thread", "7").splitlines()) == 2
    assert "guest_hypertrace       3" in hypertrace(package, "info", "events.csv")


def test_the_files_and_commands_that_are_named_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z][a-z-]*)", TEXT)) <= targets
    named = re.findall(r"`((?:htrun|tests|tools)/[\w./-]+)`|\]\(([\w./-]+)\)", TEXT)
    assert len(named) > 15
    assert [path for pair in named for path in pair if path and not (ROOT / path).exists()] == []


def test_a_host(package: Path) -> None:
    table = "htrun/hosts/__init__.py"
    for difference in differences(table):
        (package / table).write_text(changed((package / table).read_text(), difference))
    (package / "htrun/hosts/aarch64").mkdir()
    (package / "htrun/hosts/aarch64/__init__.py").write_text("HOST = 'that of aarch64'\n")
    python = package / "python"
    python.write_bytes(b"\x7fELF\x02\x01".ljust(18, b"\0") + b"\xb7\x00")
    code = (
        "from htrun import hosts\n"
        f"hosts.package.__defaults__ = ({str(python)!r},)\n"
        f"print(hosts.is_supported({str(python)!r}), hosts.is_supported({sys.executable!r}), hosts.current())"
    )
    command = [sys.executable, "-c", code]
    environment = os.environ | {"PYTHONPATH": str(package)}
    done = subprocess.run(command, cwd=package, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout == "True True that of aarch64\n"
