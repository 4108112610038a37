"""Decides what happens if a tool that a test needs is missing.

On a user's machine the test is skipped and says why; in continuous integration (``CI=true``) it fails, so that a
missing emulator or compiler never counts as success.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

from lab.debian import MissingError
from tests.support.deadline import no_deadline


def in_ci() -> bool:
    """Whether continuous integration runs the tests."""
    return os.environ.get("CI", "") not in ("", "0", "false")


def missing(what: str) -> NoReturn:
    """End the test, which needs ``what``: a failure in continuous integration, else a skip."""
    if in_ci():
        pytest.fail(f"missing in CI: {what}", pytrace=False)
    pytest.skip(f"missing: {what}")


@contextmanager
def required() -> Iterator[None]:
    """End the test if something that it unpacks is not available; fetching it may take long."""
    try:
        with no_deadline():
            yield
    except MissingError as error:
        what = str(error)
    else:
        return
    missing(what)


def require_kvm() -> None:
    """End the test if this machine cannot run others with KVM: a skip, in continuous integration, too, since no package
    brings hardware."""
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        pytest.skip(f"missing: /dev/kvm ({error.strerror})")


def require_tool(name: str, package: str) -> Path:
    """The path of the program ``name``; without it, the test ends with the advice to install the Debian ``package``."""
    found = shutil.which(name)
    if found is None:
        missing(f"{name} (apt-get install {package})")
    return Path(found)


def require_directory(path: Path, package: str) -> Path:
    """``path``, a directory; without it, the test ends with the advice to install the Debian ``package``."""
    if not path.is_dir():
        missing(f"{path} (apt-get install {package})")
    return path
