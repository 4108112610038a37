"""Finds the sources of the guest library and of the kernel module."""

from __future__ import annotations

import shutil
from pathlib import Path

from htrun.errors import HtrunError

_INSTALLED = Path(__file__).parent / "files"
"""The copy of the repository's ``guest`` directory in an installed htrun. ``setup.py`` makes the copy."""
_REPOSITORY = Path(__file__).parents[2] / "guest"
_BUILT = ("build", "*.o", "*.d", "prebuilt", "__pycache__")
"""Patterns of files that lie among the sources but are not sources: build products and prebuilt archives."""


def guest_directory() -> Path:
    """The directory that contains ``user`` (the library), ``linux-module`` and ``LICENSE``. Raises `HtrunError`."""
    for directory in (_INSTALLED, _REPOSITORY):
        if (directory / "user" / "qemu-hypertrace.h").is_file():
            return directory
    raise HtrunError(f"this installation of htrun lacks the guest library, which should be in {_INSTALLED}")


def prebuilt_archives() -> Path:
    """The directory with an archive for each target that the wheel was built for. It need not exist."""
    return guest_directory() / "prebuilt"


def copy_sources(target: Path) -> None:
    """Copy the sources to the new directory ``target``. Raises `HtrunError`."""
    try:
        shutil.copytree(guest_directory(), target, ignore=shutil.ignore_patterns(*_BUILT))
    except FileExistsError:
        raise HtrunError(f"{target} exists already; give the name of a new directory") from None
    except (OSError, shutil.Error) as error:
        raise HtrunError(f"cannot copy the sources to {target}: {error}") from error
