"""Linux kernels to boot: Debian's for cloud machines, unpacked aside. Nothing is installed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.support.debian import Unpacked
from tests.support.requirements import missing

_SOURCES = Path("/usr/src")


@dataclass(frozen=True)
class Kernel:
    """``image``: what QEMU's ``-kernel`` takes. ``headers``: what modules are built with; None where none are."""

    image: Path
    headers: Path | None = None


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
    """Debian 12's kernel for 64-bit ARM."""
    packages = Unpacked("linux-image-arm64", "bookworm", (r"linux-image-[0-9.-]+-cloud-arm64",), "arm64")
    (image,) = (packages.directory() / "boot").glob("vmlinuz-*")
    return Kernel(image)
