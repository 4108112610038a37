"""The parts of the build that setup.cfg cannot describe: the command ``htrun`` is an ELF program, the package contains
the guest library, and scripts for shells are generated."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

# isort: split
from distutils.command.build_scripts import build_scripts
from distutils.command.install_data import install_data

GUEST = Path("guest")
ARCHIVE = "libqemu-hypertrace-guest.a"
COMPILERS = (
    "gcc",
    "x86_64-linux-musl-gcc",
    *(
        f"{target}-gcc"
        for target in ("aarch64-linux-gnu", "riscv64-linux-gnu", "arm-linux-gnueabihf", "i686-linux-gnu")
    ),
)
"""The compilers for which the wheel contains an archive, if they are installed. For other targets, `hypertrace guest
--cc` builds an archive."""


COMMAND = """#!python
import sys
from htrun.commands.run import main
sys.exit(main())
"""
"""The command ``htrun`` on machines for which there is no launcher in assembly. Installers replace ``#!python``."""


class BuildScripts(build_scripts):
    """Copies scripts without reading them as text, since they may be binaries. On other machines than x86-64, the only
    script, `htrun`, is one in Python."""

    def copy_scripts(self) -> tuple[list[str], list[str]]:
        """Copy all scripts to the directory from which they are installed. Returns the paths of the copies, and those
        of new copies."""
        self.mkpath(self.build_dir)
        names = [(script, os.path.join(self.build_dir, os.path.basename(script))) for script in self.scripts]
        if platform.machine() != "x86_64":
            for _, target in names:
                Path(target).write_text(COMMAND)
                Path(target).chmod(0o755)
            return [target for _, target in names], [target for _, target in names]
        copies = [self.copy_file(script, target) for script, target in names]
        return [path for path, _ in copies], [path for path, new in copies if new]


class BuildPy(build_py):
    """Adds the sources in ``guest`` to the package, and the library built with each installed compiler."""

    def run(self) -> None:
        """Build the package. Nothing is added to an editable installation, which uses ``guest`` itself."""
        super().run()
        if not self.editable_mode:
            files = Path(self.build_lib) / "htrun" / "guest_library" / "files"
            shutil.rmtree(files, ignore_errors=True)
            shutil.copytree(
                GUEST,
                files,
                ignore=shutil.ignore_patterns("build", "*.o", "*.d", "*.ko", "qemu*.mod*", "Module.*", ".*"),
            )
            for compiler in filter(shutil.which, COMPILERS if shutil.which("make") else ()):
                build_archive(compiler, files / "prebuilt")


class InstallData(install_data):
    """Adds the scripts with which shells complete command lines."""

    def run(self) -> None:
        """Install the man pages, and the scripts."""
        super().run()
        with tempfile.TemporaryDirectory() as prefix:
            subprocess.run([sys.executable, "tools/install-completions", prefix], check=True)
            made = Path(prefix)
            for path in sorted(path for path in made.rglob("*") if path.is_file()):
                target = Path(self.install_dir) / path.relative_to(made)
                self.mkpath(str(target.parent))
                copy, _ = self.copy_file(str(path), str(target))
                self.outfiles.append(copy)


def build_archive(compiler: str, prebuilt: Path) -> None:
    """Build the library with ``compiler``, in the directory of its target in ``prebuilt``."""
    make = ["make", "--silent", "--no-print-directory", "-C", str(GUEST / "user"), f"CC={compiler}"]
    usual = subprocess.run([*make, "path"], check=True, capture_output=True, text=True).stdout.strip()
    target = prebuilt / Path(usual).parent.name
    build = target.absolute() / "build"
    # Without -g: debug information would contain paths of the machine that built the wheel.
    subprocess.run([*make, f"BUILD={build}", "CFLAGS=-O2"], check=True)
    shutil.move(build / ARCHIVE, target / ARCHIVE)
    shutil.rmtree(build)


setup(cmdclass={"build_scripts": BuildScripts, "build_py": BuildPy, "install_data": InstallData})
