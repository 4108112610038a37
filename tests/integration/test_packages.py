"""The packages: what wheel and sdist contain, and that an installed htrun needs no clone of the repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.once import make_once
from tests.support.empty_debian import (
    SUITES,
    EmptyDebian,
    assert_first_event,
    download_needs,
    readme_commands,
    readme_program,
    system_with_python,
)
from tests.support.requirements import required
from tests.support.toolchain import ROOT, Toolchain

pytestmark = pytest.mark.heavy("builds the packages, and an environment to install them in")

_NOT_SOURCES = (".git", ".venv", "build", ".cache", "__pycache__", "*.egg-info", ".*_cache", ".hypothesis", "*.pyc")
_IN_PACKAGE = "htrun/guest_library/files"


@dataclass(frozen=True)
class Packages:
    """``sources``: the tree that wheel and sdist were built from."""

    sources: Path
    wheel: Path
    sdist: Path

    def in_wheel(self) -> set[str]:
        """The paths of the files in the wheel."""
        with zipfile.ZipFile(self.wheel) as archive:
            return {name for name in archive.namelist() if not name.endswith("/")}

    def in_sdist(self) -> set[str]:
        """The paths of the files in the sdist, below its directory."""
        with tarfile.open(self.sdist) as archive:
            return {name.split("/", 1)[1] for name in archive.getnames() if archive.getmember(name).isfile()}


def files_below(directory: Path) -> set[str]:
    """The paths of all files in ``directory``, relative to it."""
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


def build(directory: Path) -> None:
    """Build both from a copy of the sources, because building leaves files in the source tree."""
    sources = directory / "sources"
    shutil.copytree(ROOT, sources, symlinks=True, ignore=shutil.ignore_patterns(*_NOT_SOURCES))
    before = files_below(sources)
    command: list[str | Path] = [sys.executable, "-m", "build", "--no-isolation", "--outdir", directory, "."]
    done = subprocess.run(command, cwd=sources, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in files_below(sources) - before:
        (sources / name).unlink()


@pytest.fixture(scope="module")
def packages(toolchain: Toolchain) -> Packages:
    directory = make_once(toolchain.build / "packages", build)
    (wheel,), (sdist,) = directory.glob("*.whl"), directory.glob("*.tar.gz")
    return Packages(directory / "sources", wheel, sdist)


@pytest.fixture(scope="module")
def installed(packages: Packages, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``bin`` of an environment in which the wheel is installed; it shares the packages that htrun needs."""
    environment = tmp_path_factory.mktemp("installed")
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    command: list[str | Path] = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", packages.wheel]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    # A .pth file does not obey those of the directory it names, so the editable htrun there is not imported.
    (site,) = environment.glob("lib/python*/site-packages")
    (site / "shared.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return environment / "bin"


@pytest.fixture
def run(installed: Path, tmp_path: Path) -> Callable[[str], str]:
    """Runs a line of shell in an empty directory, with the installed commands; returns its output."""
    environment = os.environ | {
        "PATH": f"{installed}:{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    work = tmp_path / "work"
    work.mkdir()

    def run(line: str) -> str:
        done = subprocess.run(
            ["sh", "-euc", line], cwd=work, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout

    return run


def test_wheel_has_the_guest_library_and_the_module(packages: Packages) -> None:
    shipped = {
        name.removeprefix(f"{_IN_PACKAGE}/") for name in packages.in_wheel() if name.startswith(f"{_IN_PACKAGE}/")
    }
    sources = {name for name in shipped if not name.startswith("prebuilt/")}
    assert sources == {name for name in files_below(packages.sources / "guest") if not name.endswith(".gitignore")}
    assert "prebuilt/x86_64-linux-gnu/libqemu-hypertrace-guest.a" in shipped


def test_wheel_has_all_that_the_package_reads(packages: Packages) -> None:
    shipped = packages.in_wheel()
    source = packages.sources / "htrun"
    wanted = {f"htrun/{name}" for name in files_below(source) if not name.endswith((".S", ".inc"))}
    assert wanted <= shipped
    assert {Path(name).name for name in shipped if "/man/man1/" in name} == {"htrun.1", "hypertrace.1"}
    completions = {"completions/htrun", "completions/hypertrace", "site-functions/_htrun", "site-functions/_hypertrace"}
    completions |= {"vendor_completions.d/htrun.fish", "vendor_completions.d/hypertrace.fish"}
    assert {
        "/".join(name.split("/")[-2:]) for name in shipped if "/share/" in name and "/man" not in name
    } == completions
    licences = {name.partition("/licenses/")[2] for name in shipped if "/licenses/" in name}
    assert licences == {"LICENSE", "guest/LICENSE"}
    assert not [name for name in shipped if name.startswith(("tests/", "bench/", "lab/"))]


def test_sdist_has_every_source(packages: Packages) -> None:
    made = {"PKG-INFO"} | {name for name in packages.in_sdist() if name.startswith("htrun.egg-info/")}
    assert packages.in_sdist() - made == files_below(packages.sources)


def test_the_first_event_of_the_readme_with_an_installed_htrun(
    run: Callable[[str], str], tmp_path: Path, packages: Packages
) -> None:
    (tmp_path / "work" / "my-hypertrace.c").write_text(readme_program())
    assert_first_event(run(readme_commands(packages.sources / "README.md")).splitlines())
    # The wheel's own archive: nothing was built.
    assert not (tmp_path / "cache").exists()


def test_the_library_without_make(run: Callable[[str], str], installed: Path) -> None:
    assert run(f"PATH={installed} {installed}/hypertrace guest --static") == run("hypertrace guest --static")


def test_generated_header_with_an_installed_htrun(run: Callable[[str], str], tmp_path: Path) -> None:
    (tmp_path / "work" / "events.toml").write_text('[[event]]\nid = 1\nname = "parse"\nargs = ["size"]\n')
    (tmp_path / "work" / "app.c").write_text(
        '#include "events.h"\n'
        "int main(void) { if (qemu_hypertrace_init(NULL) != 0) return 1; trace_parse(0, 5); return 0; }\n"
    )
    run("hypertrace header events.toml > events.h")
    run("gcc -Wall -Werror -o app app.c $(hypertrace guest --cflags --static)")
    assert " index=0 size=5\n" in run("htrun --events events.toml -D /dev/stdout ./app")


def test_the_package_runs_as_a_module(run: Callable[[str], str]) -> None:
    assert run("python -m htrun --version") == run("htrun --version")


def test_the_command_on_other_machines(tmp_path: Path) -> None:
    """There, a Python script does the work of the launcher."""
    build = f"sys.argv = ['setup.py', '-q', 'build_scripts', '--build-dir', {str(tmp_path)!r}]"
    code = f"import platform, runpy, sys; platform.machine = lambda: 'aarch64'; {build}; runpy.run_path('setup.py')"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)
    done = subprocess.run(
        [sys.executable, tmp_path / "htrun", "--version"], stdout=subprocess.PIPE, text=True, check=True
    )
    assert done.stdout.startswith("htrun ")
    assert os.access(tmp_path / "htrun", os.X_OK)
    assert (tmp_path / "htrun").read_text().startswith("#!python\n")


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_the_first_event_in_an_empty_debian(kind: str, suite: str, packages: Packages, tmp_path: Path) -> None:
    """Follow the README on a system that has only Python, a compiler and make."""
    with required():
        root = system_with_python(suite)
    debian = EmptyDebian(root, tmp_path)
    package = shutil.copy(packages.wheel if kind == "wheel" else packages.sdist, debian.packages)
    download_needs(debian.packages, root)
    (debian.packages / "my-hypertrace.c").write_text(readme_program())
    install = f"pip install --quiet --no-index --find-links /packages /packages/{Path(package).name}"
    script = f"python3 -m venv /venv; PATH=/venv/bin:$PATH; cd /work; {install}\ncp /packages/my-hypertrace.c .\n"
    script += readme_commands(packages.sources / "README.md")
    *output, size = debian.run(script + "du -sk --exclude=pip --exclude=setuptools /venv\n").splitlines()
    assert_first_event(output)
    assert int(size.split()[0]) < 120_000, "kB: the limit for an installation with all that it needs"
