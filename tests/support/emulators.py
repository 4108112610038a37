"""Three generations of stock qemu-user: the installed one, and two later ones from Debian, unpacked aside.

The packages come through apt, with lists and a cache of its own, from the mirror that the machine's own sources name
(``HTRUN_TEST_DEBIAN_MIRROR`` names another, for machines that are not Debian). From trixie on, Debian's ``qemu-user``
holds static programs, so an unpacked package runs on any distribution.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.locks import make_once
from tests.support.requirements import missing, require_tool

_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_APT_SOURCES = Path("/etc/apt")


@dataclass(frozen=True)
class Generation:
    """One generation. ``suite``: the Debian suite it comes from; empty for what is installed."""

    name: str
    suite: str

    def directory(self) -> Path:
        """Where its programs are; the first call may download them. Without network or apt the test ends."""
        if not self.suite:
            return require_tool("qemu-x86_64", "qemu-user").parent
        return make_once(_cache() / f"qemu-user-{self.suite}", self._unpack) / "usr" / "bin"

    def emulator(self, name: str) -> Path:
        """The program ``name``, such as ``qemu-aarch64``, of this generation."""
        return require_tool(str(self.directory() / name), "qemu-user")

    def version(self) -> tuple[int, int]:
        """Major and minor version, as its programs tell them."""
        told = subprocess.run(
            [self.emulator("qemu-x86_64"), "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True
        ).stdout
        match = re.search(r"version (\d+)\.(\d+)", told)
        assert match, told
        return int(match[1]), int(match[2])

    def _unpack(self, directory: Path) -> None:
        for tool in ("apt-get", "dpkg"):
            require_tool(tool, tool)
        apt = _private_apt(directory.parent, self.suite)
        for step in (["update"], ["download", "qemu-user"]):
            done = subprocess.run(
                [*apt, *step], cwd=directory.parent, stdin=subprocess.DEVNULL, capture_output=True, text=True
            )
            if done.returncode != 0:
                missing(f"qemu-user of Debian {self.suite}: apt-get {' '.join(step)}: {done.stdout}{done.stderr}")
        (package,) = directory.parent.glob("qemu-user_*.deb")
        subprocess.run(["dpkg", "-x", package, directory], check=True)


INSTALLED = Generation("installed", "")
TRIXIE = Generation("10.0", "trixie")
SID = Generation("11.1", "sid")
GENERATIONS = (INSTALLED, TRIXIE, SID)


def _cache() -> Path:
    """A directory that survives from one test session to the next."""
    home = os.environ.get("HTRUN_TEST_CACHE") or Path.home() / ".cache" / "htrun-tests"
    return Path(home)


def _private_apt(workshop: Path, suite: str) -> list[str]:
    """An apt-get command that knows nothing but ``suite`` and writes nowhere but in ``workshop``."""
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
        # As root, apt changes to a user that can't write below a private directory.
        "APT::Sandbox::User": "root",
        "APT::Update::Post-Invoke-Success": "",
    }
    options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    return [str(shutil.which("apt-get")), "-q", *options]


def _mirror() -> str:
    """The Debian mirror that the machine's own sources name; without one, the test ends."""
    named = os.environ.get("HTRUN_TEST_DEBIAN_MIRROR")
    if named:
        return named
    texts = [path.read_text() for path in sorted(_APT_SOURCES.glob("sources.list*"), reverse=True) if path.is_file()]
    texts += [path.read_text() for path in sorted(_APT_SOURCES.glob("sources.list.d/*")) if path.is_file()]
    # One-line style and deb822 style; a mirror's path ends in "debian", that of its security archive does not.
    found = re.search(r"^(?:deb\b.*?|URIs:.*?)(\S+:/\S*/debian)/?(?=\s|$)", "\n".join(texts), re.MULTILINE)
    if not found:
        missing("a Debian mirror among apt's sources; name one in HTRUN_TEST_DEBIAN_MIRROR")
    return found[1]
