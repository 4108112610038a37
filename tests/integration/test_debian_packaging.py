"""The Debian packages can be built, lintian has no complaints, and they work after installation."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import htrun
from lab.debian import empty_system
from lab.once import make_once
from tests.support.deadline import no_deadline
from tests.support.empty_debian import SUITES, EmptyDebian, assert_first_event, readme_commands, readme_program
from tests.support.requirements import require_tool, required
from tests.support.toolchain import ROOT, Toolchain

pytestmark = pytest.mark.heavy("builds and checks packages of Debian")

_TREES = ("debian", "guest", "htrun", "man", "tools")
_FILES = ("LICENSE", "README.md", "pyproject.toml", "setup.cfg", "setup.py")
_NOT_SOURCES = ("build", "vendor", "__pycache__", "*.o", "*.d", "*.ko")
_DEPENDS = ("python3-numpy", "python3-rich", "dkms", "gcc", "libc6-dev", "make")
"""The packages on which they depend, and the packages with which the README's program is built."""
_INSTALL_AND_USE = """
export DEBIAN_FRONTEND=noninteractive AUTOPKGTEST_TMP=/tmp
apt() {{ apt-get --yes --quiet "$@" >/tmp/log 2>&1 || {{ cat /tmp/log; exit 1; }}; }}
apt install /packages/*.deb
cd /work
cp /packages/my-hypertrace.c .
{first_event}
/packages/first-event
apt purge htrun
[ ! -e /usr/lib/htrun ]
"""


def run(*command: str | Path, directory: Path, environment: dict[str, str] | None = None) -> str:
    """Run a command, which must succeed; returns its output."""
    done = subprocess.run(
        command,
        cwd=directory,
        env=os.environ | (environment or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def build(directory: Path) -> None:
    """Build the packages in ``directory``, from the necessary files of the repository."""
    sources = directory / "htrun"
    sources.mkdir(parents=True)
    for name in _TREES:
        shutil.copytree(ROOT / name, sources / name, symlinks=True, ignore=shutil.ignore_patterns(*_NOT_SOURCES))
    for name in _FILES:
        shutil.copy(ROOT / name, sources)
    run("dpkg-buildpackage", "-us", "-uc", directory=sources)


@pytest.fixture(scope="module")
def packages(toolchain: Toolchain) -> Path:
    """The directory of the packages."""
    for tool, package in (("dpkg-buildpackage", "dpkg-dev"), ("dh", "debhelper"), ("dh_dkms", "dh-dkms")):
        require_tool(tool, package)
    with no_deadline():
        return make_once(toolchain.build / "debian-packages", build)


def test_lintian_finds_nothing(packages: Path) -> None:
    require_tool("lintian", "lintian")
    words = ("--allow-root", "--fail-on", "error,warning")
    assert run("lintian", *words, *packages.glob("*.changes"), directory=packages) == ""


def test_the_library_without_the_commands(packages: Path, tmp_path: Path) -> None:
    require_tool("pkg-config", "pkg-config")
    root = tmp_path / "root"
    for name in ("libqemu-hypertrace-guest-dev", "qemu-hypertrace-dkms"):
        (package,) = packages.glob(f"{name}_{htrun.__version__}_*.deb")
        run("dpkg", "-x", package, root, directory=tmp_path)
    assert (root / "usr" / "src" / f"qemu-hypertrace-{htrun.__version__}" / "dkms.conf").is_file()
    (libraries,) = (root / "usr" / "lib").iterdir()
    environment = {
        "AUTOPKGTEST_TMP": str(tmp_path),
        "PKG_CONFIG_SYSROOT_DIR": str(root),
        "PKG_CONFIG_PATH": str(libraries / "pkgconfig"),
        "PKG_CONFIG_ALLOW_SYSTEM_CFLAGS": "1",
        "PKG_CONFIG_ALLOW_SYSTEM_LIBS": "1",
    }
    run(ROOT / "debian" / "tests" / "compile", directory=tmp_path, environment=environment)


@pytest.mark.parametrize("suite", SUITES)
def test_apt_installs_them_in_an_empty_debian(packages: Path, tmp_path: Path, suite: str) -> None:
    """The same packages in each suite. The system has all that they depend on. It has no lists of packages, so apt
    cannot download any."""
    with required():
        root = empty_system(suite, _DEPENDS, "depends")
    debian = EmptyDebian(root, tmp_path)
    for package in packages.glob("*.deb"):
        shutil.copy(package, debian.packages)
    (debian.packages / "my-hypertrace.c").write_text(readme_program())
    shutil.copy(ROOT / "debian" / "tests" / "first-event", debian.packages)
    script = _INSTALL_AND_USE.format(first_event=readme_commands(ROOT / "README.md"))
    assert_first_event(debian.run(script).splitlines())


def test_the_changelog_has_the_version() -> None:
    assert (ROOT / "debian" / "changelog").read_text().startswith(f"htrun ({htrun.__version__}) ")
    assert f" -V {htrun.__version__} " in (ROOT / "debian" / "rules").read_text()
