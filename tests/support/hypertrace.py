"""Runs the installed command ``hypertrace``."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.support.run import HTRUN

HYPERTRACE = HTRUN.with_name("hypertrace")
SECONDS = 240


def hypertrace(
    *arguments: str | Path,
    status: int = 0,
    directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
    stdin: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run ``hypertrace`` with ``arguments``. It must exit with ``status``. ``environment``: variables to add to the
    environment."""
    done = subprocess.run(
        [str(word) for word in (HYPERTRACE, *arguments)],
        cwd=directory,
        env=os.environ | (environment or {}),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done


def said(
    *arguments: str | Path,
    status: int = 0,
    directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run ``hypertrace`` with ``arguments``, and return its standard output. Its standard error must be empty. If
    ``status`` is not 0, return standard error instead, which must be one line."""
    done = hypertrace(*arguments, status=status, directory=directory, environment=environment)
    if status == 0:
        assert done.stderr == ""
        return done.stdout
    assert done.stdout == ""
    assert re.fullmatch(r"hypertrace: [^\n]+\n", done.stderr), done.stderr
    return done.stderr
