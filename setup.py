"""What setup.cfg can't say: the command ``htrun`` is an ELF program, and the guest library comes with the package."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

# isort: split
from distutils.command.build_scripts import build_scripts

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
"""Those that are there build an archive for the wheel; for other targets `hypertrace guest --cc` builds one."""


class BuildScripts(build_scripts):
    """Copies without a look into the files, which need not be text."""

    def copy_scripts(self) -> tuple[list[str], list[str]]:
        """Copy all to the directory that they are installed from; where they are, and which of them are new."""
        self.mkpath(self.build_dir)
        names = [(script, os.path.join(self.build_dir, os.path.basename(script))) for script in self.scripts]
        copies = [self.copy_file(script, target) for script, target in names]
        return [path for path, _ in copies], [path for path, new in copies if new]


class BuildPy(build_py):
    """Adds the sources in ``guest`` to the package, and the library built for the compilers that are there."""

    def run(self) -> None:
        """Build; an editable installation uses ``guest`` itself."""
        super().run()
        if not self.editable_mode:
            files = Path(self.build_lib) / "htrun" / "guest_library" / "files"
            shutil.rmtree(files, ignore_errors=True)
            shutil.copytree(GUEST, files, ignore=shutil.ignore_patterns("build", "*.o", "*.d", "*.ko", "*.mod*", ".*"))
            for compiler in filter(shutil.which, COMPILERS):
                build_archive(compiler, files / "prebuilt")


def build_archive(compiler: str, prebuilt: Path) -> None:
    """Build the library into the directory of the compiler's target in ``prebuilt``."""
    make = ["make", "--silent", "--no-print-directory", "-C", str(GUEST / "user"), f"CC={compiler}"]
    usual = subprocess.run([*make, "path"], check=True, capture_output=True, text=True).stdout.strip()
    target = prebuilt / Path(usual).parent.name
    build = target.absolute() / "build"
    # Without -g, whose paths would be those of the machine that built the wheel.
    subprocess.run([*make, f"BUILD={build}", "CFLAGS=-O2"], check=True)
    shutil.move(build / ARCHIVE, target / ARCHIVE)
    shutil.rmtree(build)


setup(cmdclass={"build_scripts": BuildScripts, "build_py": BuildPy})
