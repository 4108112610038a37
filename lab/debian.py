"""Debian packages of any suite and architecture. They are unpacked in a directory and kept for the next run of the
tests.

The packages are fetched by apt, with separate lists and a separate cache. The mirror is that of the machine's own
sources, unless the variable ``HTRUN_TEST_DEBIAN_MIRROR`` contains the address of another mirror, which is necessary on
machines that do not run Debian.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from lab.once import make_once

_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_APT_SOURCES = Path("/etc/apt")
_UBUNTU_SUITES = ("noble",)


class MissingError(Exception):
    """Something is not available on this machine. The message names it, and where to get it."""


@dataclass(frozen=True)
class Unpacked:
    """Packages to unpack in one directory.

    ``name``: the name of the directory.
    ``suite``: the Debian suite; empty for the suite of the machine's own sources.
    ``patterns``: regular expressions, each of which matches the whole name of a package. If several packages match, the
    one with the highest version is taken. ``architecture``: Debian's name of the architecture; empty for the
    architecture of the machine.
    """

    name: str
    suite: str
    patterns: tuple[str, ...]
    architecture: str = ""

    def directory(self) -> Path:
        """The directory of the packages. The first call may download them. Raises `MissingError` without network or
        apt."""
        return make_once(cache() / self.name, self._unpack)

    def _unpack(self, directory: Path) -> None:
        for tool in ("apt-get", "apt-cache", "dpkg"):
            if shutil.which(tool) is None:
                missing(f"{tool} (apt-get install apt dpkg)")
        workshop = directory.parent
        options = ["-q"]
        if self.suite:
            options += _private_apt(workshop, self.suite, self.architecture)
            _run(["apt-get", *options, "update"], workshop)
        known = _run(["apt-cache", *options, "pkgnames"], workshop).splitlines()
        names = [_last(pattern, known, self.suite) for pattern in self.patterns]
        _run(["apt-get", *options, "download", *names], workshop)
        for package in workshop.glob("*.deb"):
            subprocess.run(["dpkg", "-x", package, directory], check=True)


def empty_system(suite: str, packages: tuple[str, ...], name: str = "empty") -> Path:
    """The root directory of an otherwise empty Debian or Ubuntu with ``packages``. The first call makes it, which needs
    root.

    ``suite``: of Debian, or `noble` (Ubuntu 24.04). ``name``: the start of the directory's name, one for each choice of
    packages.

    Raises `MissingError` without mmdebstrap, network or root.
    """
    if shutil.which("mmdebstrap") is None:
        missing("mmdebstrap (apt-get install mmdebstrap)")
    if os.geteuid() != 0:
        missing("root, to make a Debian to change to")

    def make(directory: Path) -> None:
        options = ["--quiet", "--variant=apt", f"--include={','.join(packages)}"]
        source = _ubuntu() if suite in _UBUNTU_SUITES else (_mirror(),)
        _run(["mmdebstrap", *options, suite, str(directory), *source], directory.parent)

    return make_once(cache() / f"{name}-{suite}", make)


def cache() -> Path:
    """The directory for everything that is kept from one run to the next."""
    home = os.environ.get("HTRUN_TEST_CACHE") or Path.home() / ".cache" / "htrun-tests"
    return Path(home)


def missing(what: str) -> NoReturn:
    """Raise `MissingError`."""
    raise MissingError(what)


def _ubuntu() -> tuple[str, ...]:
    """Options of mmdebstrap for a suite of Ubuntu. mmdebstrap knows Ubuntu's mirror."""
    keys = Unpacked("ubuntu-keyring-trixie", "trixie", ("ubuntu-keyring",)).directory()
    # apt's own user cannot read the keys if the cache is in root's home directory.
    user = '--aptopt=APT::Sandbox::User "root"'
    # Of the packages that htrun depends on, some are in universe.
    keyring = keys / "usr/share/keyrings/ubuntu-archive-keyring.gpg"
    return (user, "--components=main,universe", f"--keyring={keyring}")


def _last(pattern: str, known: list[str], suite: str) -> str:
    found = [name for name in known if re.fullmatch(pattern, name)]
    if not found:
        missing(f"a package {pattern} in Debian {suite}")
    return max(found, key=lambda name: [int(number) for number in re.findall(r"\d+", name)])


def _run(command: list[str], workshop: Path) -> str:
    done = subprocess.run(command, cwd=workshop, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        missing(f"Debian packages: {command[0]} ... {command[-1]}: {done.stdout}{done.stderr}")
    return done.stdout


def _private_apt(workshop: Path, suite: str, architecture: str) -> list[str]:
    """Options that make apt use only ``suite`` and write only in ``workshop``."""
    sources = workshop / "only.sources"
    signed = f"Signed-By: {_KEYRING}\n" if _KEYRING.exists() else ""
    sources.write_text(f"Types: deb\nURIs: {_mirror()}\nSuites: {suite}\nComponents: main\n{signed}")
    for directory in ("lists/partial", "cache/archives/partial"):
        (workshop / directory).mkdir(parents=True)
    settings = {
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::lists": workshop / "lists",
        "Dir::Cache": workshop / "cache",
        # If run by root, apt would change to a user who cannot write to a private directory.
        "APT::Sandbox::User": "root",
        "APT::Update::Post-Invoke-Success": "",
    }
    if architecture:
        # Ignore the packages that are installed on this machine, which may have another architecture.
        (workshop / "status").touch()
        settings |= {"APT::Architecture": architecture, "APT::Architectures": architecture}
        settings |= {"Dir::State::status": workshop / "status"}
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]


def _mirror() -> str:
    """The mirror in ``HTRUN_TEST_DEBIAN_MIRROR`` if it is set, otherwise the Debian mirror in the machine's own
    sources. Raises `MissingError` if there is none."""
    named = os.environ.get("HTRUN_TEST_DEBIAN_MIRROR")
    if named:
        return named
    texts = [path.read_text() for path in sorted(_APT_SOURCES.glob("sources.list*"), reverse=True) if path.is_file()]
    texts += [path.read_text() for path in sorted(_APT_SOURCES.glob("sources.list.d/*")) if path.is_file()]
    # One-line style and deb822 style. The path of a mirror ends in "debian", the path of its security archive does not.
    found = re.search(r"^(?:deb\b.*?|URIs:.*?)(\S+:/\S*/debian)/?(?=\s|$)", "\n".join(texts), re.MULTILINE)
    if not found:
        missing("a Debian mirror among apt's sources; name one in HTRUN_TEST_DEBIAN_MIRROR")
    return found[1]
