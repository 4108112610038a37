"""The guest library for Java as a jar, which its own makefile builds into a cache."""

from __future__ import annotations

import shutil
from pathlib import Path

import htrun
from htrun.errors import HtrunError
from htrun.guest_library.building import built_once, cache, make
from htrun.guest_library.sources import guest_directory


def jar() -> Path:
    """The jar, for JDK 17 and later. The first call builds it. Raises `HtrunError` without a JDK or make."""
    directory = guest_directory() / "java"
    path = cache(each for each in directory.rglob("*") if each.is_file()) / f"hypertrace-{htrun.__version__}.jar"

    def build(output: str) -> None:
        for tool in ("javac", "jar"):
            if shutil.which(tool) is None:
                raise HtrunError(f"there is no {tool}; install a JDK (Debian's package default-jdk-headless)")
        make(directory, "all", f"BUILD={output}", what="the guest library for Java")

    return built_once(path, build)
