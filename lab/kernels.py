"""Linux kernels to boot, and the headers to build modules for them. They are Debian's kernels for cloud machines.

Headers of this machine's architecture must be installed. All other packages are unpacked in a directory, and are not
installed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lab.debian import Unpacked, missing

_SOURCES = Path("/usr/src")


@dataclass(frozen=True)
class Kernel:
    """A kernel. ``image``: the file for QEMU's option ``-kernel``. ``headers``: the directory of the headers for
    building modules. ``flags``: arguments of ``make``."""

    image: Path
    headers: Path
    flags: tuple[str, ...] = ()

    def build_directory(self, scratch: Path) -> Path:
        """The value of ``KDIR`` for ``make``. ``scratch``: a directory that does not exist; it may be created.

        If the package is only unpacked, a changed copy is needed: Debian's makefile contains the path at which its
        package would be installed.
        """
        makefile = (self.headers / "Makefile").read_text()
        (common,) = re.findall(rf"^include {_SOURCES}/(\S+)/Makefile$", makefile, re.MULTILINE)
        if self.headers.parent == _SOURCES:
            return self.headers
        scratch.mkdir()
        for path in self.headers.iterdir():
            (scratch / path.name).symlink_to(path)
        (scratch / "Makefile").unlink()
        (scratch / "Makefile").write_text(f"include {self.headers.parent / common}/Makefile\n")
        return scratch

    def build_modules(self, source: Path, directory: Path, *arguments: str) -> str:
        """Copy ``source`` to ``directory``, which must not exist, and build the modules there with their own makefile.

        ``arguments``: further arguments of ``make``. Returns the output of ``make``. Raises CalledProcessError with the
        output.
        """
        shutil.copytree(source, directory)
        kdir = self.build_directory(directory / "kernel")
        return subprocess.run(
            ["make", "-C", directory, f"KDIR={kdir}", *self.flags, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=True,
        ).stdout


@cache
def amd64() -> Kernel:
    """The kernel whose headers are installed, so that modules built with them can be loaded."""
    found = _SOURCES.glob("linux-headers-*-cloud-amd64")
    headers = max(found, key=lambda path: [int(number) for number in re.findall(r"\d+", path.name)], default=None)
    if headers is None:
        missing(f"{_SOURCES}/linux-headers-*-cloud-amd64 (apt-get install linux-headers-cloud-amd64)")
    release = headers.name.removeprefix("linux-headers-")
    directory = Unpacked(f"linux-image-{release}", "", (re.escape(f"linux-image-{release}"),)).directory()
    return Kernel(directory / "boot" / f"vmlinuz-{release}", headers)


@cache
def arm64() -> Kernel:
    """The kernel of Debian 12 for 64-bit ARM."""
    patterns = (
        r"linux-image-[0-9.-]+-cloud-arm64",
        r"linux-headers-[0-9.-]+-cloud-arm64",
        r"linux-headers-[0-9.-]+-common",
    )
    directory = Unpacked("linux-arm64", "bookworm", patterns, "arm64").directory()
    (image,) = (directory / "boot").glob("vmlinuz-*")
    (headers,) = (directory / "usr" / "src").glob("linux-headers-*-arm64")
    _give_programs(directory)
    return Kernel(image, headers, ("ARCH=arm64", "CROSS_COMPILE=aarch64-linux-gnu-", "CC=aarch64-linux-gnu-gcc"))


@cache
def i686() -> Kernel:
    """The kernel of Debian 12 for 32-bit x86."""
    patterns = (r"linux-image-[0-9.-]+-686", r"linux-headers-[0-9.-]+-686", r"linux-headers-[0-9.-]+-common")
    directory = Unpacked("linux-i686", "bookworm", patterns, "i386").directory()
    (image,) = (directory / "boot").glob("vmlinuz-*")
    (headers,) = (directory / "usr" / "src").glob("linux-headers-*-686")
    _give_programs(directory)
    return Kernel(image, headers, ("ARCH=i386", "CROSS_COMPILE=i686-linux-gnu-", "CC=i686-linux-gnu-gcc"))


def _give_programs(directory: Path) -> None:
    """Copy the programs that the kernel's makefiles run to ``directory``, which has headers of another architecture.
    The programs are for this machine's architecture."""
    programs = Unpacked("linux-kbuild", "bookworm", (r"linux-kbuild-6\.1",), "amd64").directory()
    place = Path("usr") / "lib" / "linux-kbuild-6.1"
    with suppress(FileExistsError):
        # Links in the headers point to this directory.
        (directory / place).parent.mkdir(exist_ok=True)
        (directory / place).symlink_to(programs / place)
