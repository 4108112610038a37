"""The guest library for Node.js as a package that npm installs, with the sources of the library in C."""

from __future__ import annotations

import tarfile
from pathlib import Path

import htrun
from htrun.guest_library.building import built_once, cache
from htrun.guest_library.sources import guest_directory

_PATTERNS = ("*.js", "*.d.ts", "*.c", "*.gyp", "package.json")


def npm_package() -> Path:
    """The package's archive. The first call makes it. npm builds the native module when it installs the package. Raises
    `HtrunError`."""
    directory = guest_directory()
    own = [path for pattern in _PATTERNS for path in sorted((directory / "node").glob(pattern))]
    library = [path for pattern in ("*.c", "*.h") for path in sorted((directory / "user").glob(pattern))]
    licence = directory / "LICENSE"

    def build(output: str) -> None:
        with tarfile.open(Path(output) / path.name, "w:gz") as archive:
            for file in [*own, licence]:
                archive.add(file, f"package/{file.name}")
            for file in library:
                archive.add(file, f"package/library/{file.name}")

    path = cache([*own, *library, licence]) / f"hypertrace-guest-{htrun.__version__}.tgz"
    return built_once(path, build)
