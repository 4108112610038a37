"""The Debian packages for guests: they build, lintian has nothing to say, and a program is built with them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import htrun
from tests.support.requirements import require_tool
from tests.support.toolchain import ROOT

pytestmark = pytest.mark.heavy("builds and checks packages of Debian")


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


def test_packages_for_guests(tmp_path: Path) -> None:
    require_tool("dpkg-buildpackage", "dpkg-dev")
    require_tool("dh", "debhelper")
    require_tool("dh_dkms", "dh-dkms")
    require_tool("lintian", "lintian")
    sources = tmp_path / "htrun"
    sources.mkdir()
    # What the packages do not contain is left out: less to pack and to check.
    for name in ("debian", "guest"):
        shutil.copytree(ROOT / name, sources / name, ignore=shutil.ignore_patterns("build", "*.o", "*.d", "*.ko"))
    shutil.copy(ROOT / "LICENSE", sources)
    (sources / "debian" / "source" / "lintian-overrides").unlink()
    run("dpkg-buildpackage", "-us", "-uc", directory=sources)
    assert (
        run("lintian", "--allow-root", "--fail-on", "error,warning", *tmp_path.glob("*.changes"), directory=tmp_path)
        == ""
    )
    root = tmp_path / "root"
    for package in tmp_path.glob("*.deb"):
        assert f"_{htrun.__version__}_" in package.name
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
    require_tool("pkg-config", "pkg-config")
    run(ROOT / "debian" / "tests" / "compile", directory=tmp_path, environment=environment)


def test_the_changelog_has_the_version() -> None:
    assert (ROOT / "debian" / "changelog").read_text().startswith(f"htrun ({htrun.__version__}) ")
    assert f" -V {htrun.__version__} " in (ROOT / "debian" / "rules").read_text()
