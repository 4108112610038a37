"""Names that are looked up while a program runs, by a process, and kept in the user's cache directory."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from htrun.intercept import symbol_cache, symbol_helper
from htrun.intercept.symbol_cache import SymbolCache
from htrun.intercept.symbol_helper import SymbolHelper
from htrun.intercept.symbol_names import SymbolNames
from htrun.intercept.symbols import function_at

_LIBC = next(line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "libc.so" in line)


def _named() -> tuple[int, str]:
    """An offset in the C library that has a name, and the name."""
    names = ((offset, function_at(_LIBC, offset)) for offset in range(0x30000, 0x80000, 0x100))
    return next((offset, name) for offset, name in names if name)


def test_a_helper_answers() -> None:
    offset, name = _named()
    helper = SymbolHelper(lowest=True)
    assert [helper.ask(_LIBC, offset), helper.ask(_LIBC, 1 << 60), helper.ask("/etc/p\udcffsswd\n", 0)] == [
        name,
        None,
        None,
    ]
    assert helper.ask(_LIBC, offset) == name
    helper.close()
    assert not Path("/proc/self/task", str(os.getpid()), "children").read_text()


def test_nobody_answers_for_one_that_was_killed() -> None:
    helper = SymbolHelper(lowest=False)
    helper.kill()
    with pytest.raises(BrokenPipeError):
        helper.ask(_LIBC, 0)
    helper.close()


def _find(cache: SymbolCache, *offsets: int) -> list[str | None]:
    names = SymbolNames(cache, os.sched_getaffinity(0))
    for offset in offsets * 2:
        names.ask(_LIBC, offset)
    names.finish()
    return [names.find(_LIBC, offset) for offset in offsets]


def _no_helper(*_: object, **__: object) -> None:
    raise PermissionError


def test_the_second_run_needs_no_helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offset, name = _named()
    cache = SymbolCache.of_user({"XDG_CACHE_HOME": str(tmp_path)})
    assert _find(cache, offset, 1 << 60) == [name, None]
    monkeypatch.setattr(os, "posix_spawn", _no_helper)
    assert _find(cache, offset, 1 << 60, offset + 1) == [name, None, None]
    # A name that was not found because the helper failed is not cached as missing.
    assert cache.load(_LIBC) == {offset: name, 1 << 60: None}


def test_another_takes_the_place_of_a_helper_that_died(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offset, name = _named()
    ask, victims = SymbolHelper.ask, [1]

    def die_first(helper: SymbolHelper, file: str, offset: int) -> str | None:
        if victims:
            victims.pop()
            os.kill(helper._pid, signal.SIGKILL)
        return ask(helper, file, offset)

    monkeypatch.setattr(SymbolHelper, "ask", die_first)
    assert _find(SymbolCache(None), offset) == [name]


@pytest.mark.parametrize("code", ["raise SystemExit(1)", "1 +"])
def test_helpers_that_always_die(code: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(symbol_helper, "_CODE", code)
    assert _find(SymbolCache(None), *range(10)) == [None] * 10
    assert capfd.readouterr() == ("", "")


def test_a_helper_that_is_too_slow_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Like a process of the lowest priority on a busy machine."""
    offset, name = _named()
    slow = "import sys, time; sys.argv[1] and time.sleep(1000); " + symbol_helper._CODE
    monkeypatch.setattr(symbol_helper, "_CODE", slow)
    assert _find(SymbolCache(None), offset) == [name]


def test_a_changed_file_has_no_names_yet(tmp_path: Path) -> None:
    cache, file = SymbolCache(str(tmp_path / "cache")), tmp_path / "file"
    file.write_text("one")
    cache.store(str(file), {1: "one+0x1"})
    assert cache.load(str(file)) == {1: "one+0x1"}
    file.write_text("other")
    assert cache.load(str(file)) == {}


def test_the_cache_has_a_greatest_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(symbol_cache, "_MOST_FILES", 3)
    cache = SymbolCache(str(tmp_path / "cache"))
    files = [tmp_path / str(number) for number in range(5)]
    for age, file in enumerate(files):
        file.touch()
        cache.store(str(file), {0: "name"})
        newest = max((tmp_path / "cache").iterdir(), key=lambda path: path.stat().st_mtime_ns)
        os.utime(newest, ns=(age, age))
    assert [bool(cache.load(str(file))) for file in files] == [False, False, True, True, True]


@pytest.mark.parametrize("content", ["", "[1]", "{", '{"x": "y"}', '{"1": 5}', "\xff"])
def test_a_damaged_cache(content: str, tmp_path: Path) -> None:
    cache = SymbolCache(str(tmp_path))
    cache.store(_LIBC, {1: "name"})
    (file,) = tmp_path.iterdir()
    file.write_text(content)
    assert cache.load(_LIBC) == {}


@pytest.mark.parametrize("environment", [{}, {"HOME": ""}, {"XDG_CACHE_HOME": "relative"}, {"HOME": "/proc/nobody"}])
def test_nowhere_to_keep_names(environment: dict[str, str]) -> None:
    cache = SymbolCache.of_user(environment)
    cache.store(sys.executable, {1: "name"})
    assert cache.load(sys.executable) == {}


def test_nothing_is_left_in_anothers_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.stat(tmp_path).st_uid + 1)
    SymbolCache(str(tmp_path)).store(sys.executable, {1: "name"})
    assert list(tmp_path.iterdir()) == []
