"""The emulators under which programs are measured, and htrun's account of a run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench import emulators
from bench.emulators import Emulator
from bench.htrun import Account, Traced
from bench.outcome import FailedError, UnavailableError


def fake_emulator(path: Path, version: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{path.name} version {version} (Debian 1)'\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HTRUN_TEST_CACHE", str(tmp_path / "cache"))
    emulators._downloaded.cache_clear()
    return tmp_path / "cache"


def test_a_downloaded_emulator_is_found_by_its_version(downloads: Path) -> None:
    fake_emulator(downloads / "old" / "usr" / "bin" / "qemu-x86_64", "10.0.13")
    new = fake_emulator(downloads / "new" / "usr" / "bin" / "qemu-x86_64-static", "11.1.3")
    fake_emulator(downloads / "new" / "usr" / "bin" / "qemu-x86_64-other", "11.1.3")
    assert Emulator("x86_64", "11.1").find() == new
    assert str(Emulator("x86_64", "11.1")) == "qemu-x86_64 11.1"


def test_a_missing_generation_is_no_failure(downloads: Path) -> None:
    fake_emulator(downloads / "qemu-x86_64", "10.0.13")
    with pytest.raises(UnavailableError, match=r"no qemu-x86_64 11\.1: `make test` downloads"):
        Emulator("x86_64", "11.1").find()


def test_the_installed_emulator_is_the_one_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = fake_emulator(tmp_path / "qemu-aarch64", "8.2.1")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert Emulator("aarch64", None).find() == installed
    assert str(Emulator("aarch64", None)) == "qemu-aarch64 8.2"
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(UnavailableError, match="apt-get install qemu-user"):
        Emulator("aarch64", None).find()


@pytest.mark.parametrize(("events", "lost"), [(9, 0), (11, 0), (10, 1)])
def test_an_event_too_few_or_too_many_is_a_failure(events: int, lost: int) -> None:
    Account(10, 0, 3).check(10)
    with pytest.raises(FailedError, match="the guest emitted 10 events"):
        Account(events, lost, 3).check(10)


@pytest.mark.parametrize("summary", [None, "", "[]", '{"events": 1}'])
def test_a_run_without_a_proper_summary_is_a_failure(tmp_path: Path, summary: str | None) -> None:
    file = tmp_path / "summary.json"
    if summary is not None:
        file.write_text(summary)
    with pytest.raises(FailedError, match="no proper summary"):
        Traced([], tmp_path, file).account()


def test_the_account_is_read_from_the_summary(tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text('{"events": 5, "lost": 1, "traps": 2, "sites": []}')
    assert Traced([], tmp_path, tmp_path / "summary.json").account() == Account(5, 1, 2)
