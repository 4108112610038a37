"""Runs shell scripts in an empty Debian or Ubuntu, and contains the expected output of the README's first event."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

from lab.debian import empty_system
from tests.support.toolchain import ROOT

SUITES = os.environ.get("HTRUN_TEST_SUITES", "bookworm").split(",")
"""The suites in which packages are installed. For Debian 13 and Ubuntu 24.04, too:
HTRUN_TEST_SUITES=bookworm,trixie,noble"""
_BUILD_AND_RUN = re.compile(r"^```sh\n(gcc .*\n)(htrun .*\n)```$", re.MULTILINE)
_EVENT = re.compile(r"\d+@\d+\.\d{6}:guest_hypertrace cpu=0x0  index=0 arg1=0x0{12}cafe .* arg4=0x0{12}beef")
_ENTER = """
mount -t overlay overlay -o lowerdir="$1",upperdir="$2/upper",workdir="$2/scratch" "$2/root"
mount -t proc proc "$2/root/proc"
mount --rbind /sys "$2/root/sys"
mkdir "$2/root/packages" "$2/root/work"
mount --bind "$2/packages" "$2/root/packages"
exec chroot "$2/root" /bin/sh -euc "$3"
"""
"""The script $3 in a system whose root is the directory $1. The files that it writes are in $2/upper."""


class EmptyDebian:
    """A system with the files of ``root``, which are not changed. All that a script writes goes to ``directory``."""

    def __init__(self, root: Path, directory: Path) -> None:
        self._root = root
        self._directory = directory
        for name in ("upper", "scratch", "root", "packages"):
            (directory / name).mkdir()
        self.packages = directory / "packages"
        """Scripts see this directory as ``/packages``."""

    def run(self, script: str) -> str:
        """The output of ``script``, which succeeds without a word on standard error. An empty directory ``/work`` is
        there for it."""
        words: list[str | Path] = ["unshare", "--mount", "--pid", "--fork", "sh", "-euc", _ENTER, "sh"]
        done = subprocess.run(
            [*words, self._root, self._directory, script],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
        return done.stdout


def readme_program() -> str:
    """The source of the program in the README, ``my-hypertrace.c``."""
    return subprocess.run([ROOT / "tools" / "readme-program"], check=True, capture_output=True, text=True).stdout


def readme_commands(readme: Path) -> str:
    """The two lines of shell in the README that build and run the program."""
    ((build, run),) = _BUILD_AND_RUN.findall(readme.read_text())
    return f"{build}{run}"


def assert_first_event(output: list[str]) -> None:
    """Assert that ``output`` has the two lines that the README's program and htrun print."""
    first, event = output
    assert first == "emitting hypertrace event"
    assert _EVENT.fullmatch(event), event


def system_with_python(suite: str) -> Path:
    """The root of an empty Debian with Python, a compiler and make. Raises `MissingError`."""
    return empty_system(suite, ("python3-venv", "gcc", "libc6-dev", "make"))


def download_needs(directory: Path, root: Path) -> None:
    """Download to ``directory`` what htrun and its build need, for the Python of the system in ``root``."""
    (version,) = {path.name.removeprefix("python") for path in (root / "usr" / "bin").glob("python3.*[0-9]")}
    needs = [each for each in requires("htrun") or () if "extra ==" not in each]
    python = ("--python-version", version, "--only-binary", ":all:")
    command: list[str | Path] = [sys.executable, "-m", "pip", "download", "--quiet", *python, "--dest", directory]
    done = subprocess.run([*command, *needs, "setuptools>=77"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
