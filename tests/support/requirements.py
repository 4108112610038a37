"""Decides what happens if a tool that a test needs is missing.

On a user's machine, the test is skipped with the reason. In continuous integration (``CI=true``), the test fails, so
that a missing emulator or compiler never counts as success.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

from htrun.errors import HtrunError
from htrun.sched.event import require_events
from lab.debian import MissingError
from tests.support.deadline import no_deadline


def in_ci() -> bool:
    """Whether continuous integration runs the tests."""
    return os.environ.get("CI", "") not in ("", "0", "false")


def missing(what: str) -> NoReturn:
    """End the test, because ``what`` is missing: fail in continuous integration, otherwise skip the test."""
    if in_ci():
        pytest.fail(f"missing in CI: {what}", pytrace=False)
    pytest.skip(f"missing: {what}")


@contextmanager
def required() -> Iterator[None]:
    """A context that unpacks the packages that a test needs. Ends the test if it is not available. There is no time
    limit, because a download may take long."""
    try:
        with no_deadline():
            yield
    except MissingError as error:
        what = str(error)
    else:
        return
    missing(what)


def require_kvm() -> None:
    """Skip the test if this machine has no KVM. In continuous integration it is skipped, too, since KVM cannot be
    installed."""
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        pytest.skip(f"missing: /dev/kvm ({error.strerror})")


def require_perf_events() -> None:
    """End the test if the kernel, or a sandbox, does not let this process record its own threads."""
    try:
        require_events()
    except HtrunError as error:
        missing(str(error))


def require_tool(name: str, package: str) -> Path:
    """The path of the program ``name``. If it is missing, end the test with the advice to install the Debian
    ``package``."""
    found = shutil.which(name)
    if found is None:
        missing(f"{name} (apt-get install {package})")
    return Path(found)


def require_directory(path: Path, package: str) -> Path:
    """The directory ``path``. If it is missing, end the test with the advice to install the Debian ``package``."""
    if not path.is_dir():
        missing(f"{path} (apt-get install {package})")
    return path
