"""A program is started under htrun with the same state as without htrun, for any inherited state."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.hypertrace import HYPERTRACE
from tests.support.requirements import missing
from tests.support.run import HTRUN, SECONDS, Htrun
from tests.support.toolchain import Toolchain

_GUESTS = Path(__file__).parent / "guests"
_KINDS = [
    "nothing",
    "ignored",
    "blocked",
    "child-blocked",
    "alarm-blocked",
    "subreaper",
    "child",
    "environment",
    "no-environment",
]


def said(*command: str | Path) -> str:
    """The standard output of a command, which must not have any other output."""
    done = subprocess.run(command, capture_output=True, timeout=SECONDS)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.decode()


def without_channel(text: str) -> str:
    """``text`` without the variable that htrun adds, or replaces."""
    name = b"HYPERTRACE=".hex()
    return re.sub(f" '{name}(?:[0-9a-f]{{2}})*'", "", text)


@pytest.mark.parametrize("kind", _KINDS)
def test_what_was_inherited(kind: str, toolchain: Toolchain) -> None:
    starter, program = (toolchain.compile(_GUESTS / f"{name}.c") for name in ("start_with", "what_was_inherited"))
    words = [os.fsdecode(word) for word in (b"a", b"", b"\xff\xfe", "ä €".encode(), b"--launched=1,2", b"-x")]
    alone = said(starter, kind, program, *words)
    assert "environment:" in alone
    traced = said(starter, kind, HTRUN, "-q", "--", program, *words)
    assert without_channel(traced) == without_channel(alone)
    assert without_channel(traced) != traced


def test_the_channels_variable_is_where_it_was(toolchain: Toolchain) -> None:
    starter, program = (toolchain.compile(_GUESTS / f"{name}.c") for name in ("start_with", "what_was_inherited"))
    assert said(starter, "environment", HTRUN, "-q", "--", program, "a") == said(starter, "environment", program, "a")


@pytest.mark.parametrize("locale", ["C", "C.UTF-8", "POSIX"])
def test_python_adds_no_variable(locale: str, toolchain: Toolchain) -> None:
    """Python sets LC_CTYPE for itself (PEP 538)."""
    command: Sequence[str | Path] = ["env", "-i", f"LC_ALL={locale}"]
    if locale == "POSIX":
        command = ["env", "-i"]
    program = toolchain.compile(_GUESTS / "what_was_inherited.c")
    for htrun in ([HTRUN], [sys.executable, "-m", "htrun"]):
        traced = said(*command, *htrun, "-q", "--", program)
        assert without_channel(traced) == said(*command, program)


def test_another_htrun_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command of the same name that another package has installed is not run."""
    other = tmp_path / "htrun"
    other.write_text("#!/bin/sh\necho another htrun\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for htrun in ([HYPERTRACE, "run"], [sys.executable, "-m", "htrun"]):
        assert said(*htrun, "-q", "-D", tmp_path / "log", "echo", "started") == "started\n"
    assert said(HYPERTRACE, "run", "--help") == said(HYPERTRACE, "help", "run") == said(HTRUN, "--help")


def test_wrong_options_of_the_verb_run() -> None:
    done = subprocess.run([HYPERTRACE, "run", "--nonsense"], capture_output=True, text=True, timeout=SECONDS)
    assert (done.returncode, done.stderr) == (125, "htrun: unknown option --nonsense; try: htrun --help\n")


def test_a_program_starts_without_what_htrun_has_used(toolchain: Toolchain, htrun: Htrun) -> None:
    """The time and memory of Python are not in its getrusage(2)."""
    program = toolchain.compile_text(
        """
        #include <stdio.h>
        #include <sys/resource.h>
        int main(void)
        {
            struct rusage own, children;
            getrusage(RUSAGE_SELF, &own);
            getrusage(RUSAGE_CHILDREN, &children);
            printf("%ld %ld %ld\\n", own.ru_maxrss, own.ru_minflt, children.ru_maxrss);
            return 0;
        }
        """,
        "usage",
    )
    alone = [int(word) for word in said(program).split()]
    traced = [int(word) for word in htrun.run(program, options=("-q",)).check().stdout.split()]
    # Python alone takes 8 MiB. The process between the launcher and the tracer has the launcher's size.
    for before, after in zip(alone, traced, strict=True):
        assert after < before + 1024


def test_python_m_htrun_does_the_same(toolchain: Toolchain) -> None:
    program = toolchain.compile(_GUESTS / "what_was_inherited.c")
    starter = toolchain.compile(_GUESTS / "start_with.c")
    for kind in ("nothing", "blocked", "child-blocked", "subreaper", "child", "environment"):
        traced = said(starter, kind, sys.executable, "-m", "htrun", "-q", "--", program, "a")
        assert without_channel(traced) == without_channel(said(starter, kind, program, "a"))


@pytest.mark.parametrize(
    ("name", "content"),
    [("numpy.py", "raise SystemExit('not this one')\n"), ("platform.py", "1 / 0\n"), ("sitecustomize.py", "1 / 0\n")],
)
def test_modules_of_the_users_are_not_the_tracers(
    name: str, content: str, tmp_path: Path, toolchain: Toolchain
) -> None:
    (tmp_path / name).write_text(content)
    _emits_in({"PYTHONPATH": str(tmp_path)}, tmp_path, toolchain)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PYTHONHOME", "/nonexistent"),
        ("PYTHONWARNINGS", "error"),
        ("PYTHONOPTIMIZE", "2"),
        ("PYTHONSTARTUP", "/nonexistent"),
        ("PYTHONINSPECT", "1"),
        ("PYTHONIOENCODING", "nonsense"),
    ],
)
def test_settings_of_the_users_python_are_not_the_tracers(
    name: str, value: str, tmp_path: Path, toolchain: Toolchain
) -> None:
    _emits_in({name: value}, tmp_path, toolchain)


def test_libraries_of_the_users_are_not_the_tracers(tmp_path: Path, toolchain: Toolchain) -> None:
    """The library may be older than the one that its modules were built with, or missing."""
    for library in ("libstdc++.so.6", "libffi.so.8", "libz.so.1", "libm.so.6"):
        (tmp_path / library).write_text("not a library")
    # A program that does not need these libraries, because it is the user's own program.
    _emits_in({"LD_LIBRARY_PATH": str(tmp_path)}, tmp_path, toolchain)


def _emits_in(variables: dict[str, str], directory: Path, toolchain: Toolchain) -> None:
    program = toolchain.compile_text(
        """
        #include <qemu-hypertrace.h>
        #include <stdio.h>
        #include <stdlib.h>
        int main(int argc, char **argv)
        {
            if (argc < 2 || qemu_hypertrace_init(NULL) != 0)
                return 1;
            for (int i = 0; i < 100; i++)
                qemu_hypertrace(0);
            printf("%s\\n", getenv(argv[1]));
            return 0;
        }
        """,
        "emits_and_prints",
    )
    (name,) = variables
    log, trace = directory / "log", directory / "trace"
    command: list[str | Path] = [HTRUN, "-D", log, "-o", trace, "--", program, name]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | variables, timeout=SECONDS)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{variables[name]}\n", "")
    assert len(log.read_text().splitlines()) == 100


@pytest.mark.parametrize("words", [["true"], ["-q", "env", "true"], ["-D", "{there}/log", "true"]])
def test_in_a_directory_that_was_removed(words: list[str], tmp_path: Path) -> None:
    """If no path depends on it, everything works as elsewhere."""
    gone = tmp_path / "gone"
    gone.mkdir()
    command: list[str | Path] = [word.format(there=tmp_path) for word in words]
    script: list[str | Path] = ["sh", "-c", 'cd "$0" && rmdir "$0" && exec "$@"', gone]
    done = subprocess.run([*script, HTRUN, *command], capture_output=True, text=True, timeout=SECONDS)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "words",
    [
        ["--hypertrace", "channel", "true"],
        ["-o", "trace", "true"],
        ["-o", "trace.json", "true"],
        ["-D", "log", "true"],
        ["--summary", "summary", "true"],
        ["--hypertrace", "channel", "--print-device"],
    ],
)
@pytest.mark.parametrize("htrun", [[str(HTRUN)], [sys.executable, "-m", "htrun"]], ids=["launcher", "module"])
def test_paths_in_a_directory_that_was_removed(htrun: list[str], words: list[str], tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script: list[str | Path] = ["sh", "-c", 'cd "$0" && rmdir "$0" && exec "$@"', gone]
    done = subprocess.run([*script, *htrun, *words], capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 125
    assert re.fullmatch(r"htrun: .*(No such file or directory|no directory|was removed).*\n", done.stderr), done.stderr


def test_without_proc(tmp_path: Path) -> None:
    command = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]
    hidden = [*command, "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh"]
    if subprocess.run([*hidden, "true"], capture_output=True).returncode != 0:
        missing("the right to mount")
    for htrun in ([str(HTRUN)], [sys.executable, "-m", "htrun"]):
        done = subprocess.run([*hidden, *htrun, "true"], capture_output=True, text=True, timeout=SECONDS, cwd=tmp_path)
        assert done.returncode == 125
        assert re.fullmatch("htrun: cannot read /proc/.*: is /proc mounted\\?\n", done.stderr), done.stderr


@pytest.mark.parametrize(
    ("limit", "words"), [("--nofile=3", "too many open files"), ("--nofile=4", "too many open files")]
)
def test_without_descriptors(limit: str, words: str) -> None:
    done = subprocess.run(["prlimit", limit, HTRUN, "true"], capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 125
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
