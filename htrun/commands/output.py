"""Printing what a user asked to see."""

from __future__ import annotations

import os
import sys

from htrun.errors import HtrunError


def show(text: str) -> None:
    """Print ``text`` on standard output. Raises `HtrunError` if nobody takes it."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        # Python would try again to write the rest when it exits, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise HtrunError(f"cannot write to standard output: {error.strerror}") from error
