"""The commands in documents print what the documents show: each console block is run, and its output compared."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from htrun.analysis.trace import Event, Trace
from htrun.events.records import event_dtype
from htrun.events.stream import Stream
from htrun.events.warnings import Kind
from tests.support.documents import blocks, fenced, impersonal, transcript
from tests.support.requirements import require_tool
from tests.support.run import HTRUN
from tests.support.targets import AARCH64, NATIVE
from tests.support.toolchain import ROOT, Toolchain
from tests.unit.analysis.made import Made

DOCUMENTS = ("../README.md", "quick-guide.md", "troubleshooting.md", "view.md")


@pytest.fixture
def directory(tmp_path: Path, toolchain: Toolchain) -> Path:
    """A directory with the programs that the documents name."""
    text = subprocess.run([ROOT / "tools" / "readme-program"], check=True, capture_output=True, text=True).stdout
    for name, target in (("my-hypertrace", NATIVE), ("my-hypertrace-aarch64", AARCH64)):
        shutil.copy2(toolchain.compile_text(text, "my-hypertrace", target), tmp_path / name)
    require_tool(AARCH64.emulator, "qemu-user")
    return tmp_path


@pytest.mark.parametrize("document", DOCUMENTS)
def test_console_blocks(document: str, directory: Path) -> None:
    for block in fenced(document, "console"):
        assert transcript(block, directory) == impersonal(block)


def test_readme_builds_its_program(tmp_path: Path) -> None:
    """Follow the README in a directory with the sources and with the program that it shows."""
    (tmp_path / "guest").symlink_to(ROOT / "guest")
    [program] = fenced("../README.md", "c")
    (tmp_path / "my-hypertrace.c").write_text(program)
    [block] = fenced("../README.md", "sh")
    *_, htrun = block.splitlines()
    shown = transcript("".join(f"$ {command}\n" for command in block.splitlines()), tmp_path)
    assert shown.partition(f"$ {htrun}\n")[2] == (
        "emitting hypertrace event\n"
        "TID@TIME:guest_hypertrace cpu=0x0  index=0 arg1=0x000000000000cafe arg2=0x000000000000babe"
        " arg3=0x000000000000dead arg4=0x000000000000beef\n"
    )


_JOBS = ("exact-counts.md", "guest-and-host.md", "python-programs.md", "two-builds.md")


@pytest.mark.parametrize("page", ["recipes.md", "languages.md", *_JOBS])
def test_pages_of_files(tmp_path: Path, page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one directory, in the order of the page. Times differ from run to run."""
    require_tool("g++", "g++")
    require_tool(AARCH64.compiler, AARCH64.packages)
    # With one build twice, any verdict is possible.
    for build in ("OLD", "NEW"):
        monkeypatch.setenv(build, str(require_tool(AARCH64.emulator, "qemu-user").parent))
    for block in blocks(page):
        if block.file is not None:
            (tmp_path / block.file).write_text(block.content)
        elif block.language == "console":
            assert transcript(block.content, tmp_path) == block.content
        elif block.language != "text":
            assert block.language == "sh"
            for command in block.content.splitlines():
                shown = transcript(f"$ {command} && echo done\n", tmp_path, timeout=240)
                assert shown.endswith("\ndone\n"), shown


def test_install(directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one directory, in the order of the page; the program is built in each way."""
    for tool in ("cmake", "meson", "pkg-config"):
        require_tool(tool, tool)
    require_tool(AARCH64.compiler, AARCH64.packages)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for block in blocks("install.md"):
        if block.file is not None:
            (tmp_path / block.file).write_text(block.content)
        elif block.language == "console":
            assert transcript(block.content, directory) == impersonal(block.content)
        elif block.language == "sh":
            for command in block.content.splitlines():
                shown = transcript(f"$ {command} && echo done\n", tmp_path)
                assert shown.endswith("\ndone\n"), shown
    for program in ("app", "app-aarch64", "build/app", "build-meson/app"):
        assert (tmp_path / program).is_file()


def test_configuration(directory: Path) -> None:
    """In the order of the page, which writes its files."""
    for block in blocks("configuration.md"):
        if block.file is not None:
            (directory / block.file).write_text(block.content)
        else:
            assert transcript(block.content, directory) == impersonal(block.content)


def test_formats(directory: Path) -> None:
    """Its console blocks use the file of names that it shows."""
    [names] = fenced("formats.md", "toml")
    (directory / "events.toml").write_text(names)
    for file in blocks("formats.md"):
        if file.file is not None:
            (directory / file.file).write_text(file.content)
    for block in fenced("formats.md", "console"):
        assert transcript(block, directory) == block


def test_summary(directory: Path) -> None:
    """The document lists exactly the keys of a summary."""
    options = ("-q", "--via", "store", "--summary", "summary", "-D", "log")
    subprocess.run([HTRUN, *options, "./my-hypertrace"], cwd=directory, check=True)
    summary = json.loads((directory / "summary").read_text())
    _, _, section = (ROOT / "docs" / "formats.md").read_text().partition("## The summary\n")
    keys, told = zip(*re.findall(r"^\| (`.*?) \| (.*) \|$", section, re.MULTILINE), strict=True)
    assert set(re.findall(r"`(\w+)`", "".join(keys))) == set(summary)
    [sites] = [text for key, text in zip(keys, told, strict=True) if key == "`sites`"]
    assert set(re.findall(r"`(\w+)`", sites)) == set(summary["sites"][0])


def test_every_warning_is_explained() -> None:
    _, _, section = (ROOT / "docs" / "troubleshooting.md").read_text().partition("| kind |")
    rows = re.findall(r"^\| (`.*?) \|", section.partition("\n\n")[0], re.MULTILINE)
    assert sorted(re.findall(r"`([\w-]+)`", "".join(rows))) == sorted(kind.value for kind in Kind)


def test_what_is_told_of_a_trace_in_python_is_there(tmp_path: Path) -> None:
    trace = Trace.open(Made(tmp_path / "trace").close())
    _, _, section = (ROOT / "docs" / "formats.md").read_text().partition("| member of `Trace` | value |")
    rows = re.findall(r"^\| ([^|]*) \| ([^|]*) \|$", section.partition("\n\n")[0], re.MULTILINE)
    [(_, objects), *others] = rows
    names = re.findall(r"`(\w+)", "".join(name for name, _ in others))
    assert len(names) > 8
    assert [name for name in names if not hasattr(trace, name)] == []
    fields = {*Event.__annotations__, *Stream.__annotations__}
    assert set(re.findall(r"`(\w+)`", objects)) <= fields
    assert set(re.findall(r"`(\w+)`", others[0][1])) - {"streams", "kinds"} == set(event_dtype(1).names or ())
