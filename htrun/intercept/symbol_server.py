"""The process that looks names up for a run. `htrun.intercept.symbol_helper` starts it.

A question is a line with a JSON list: a file, and an offset in this file. The answer is a line with a name in JSON, or
null.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from contextlib import suppress

from htrun.intercept.symbols import function_at

LOWEST = "lowest"
_PR_SET_PDEATHSIG = 1


def serve(priority: str) -> None:
    """Answer questions until the input is closed. ``priority``: LOWEST to use only processors that are idle."""
    # When the tracer has exited, no process reads the answers, so the slow import of lief would be useless. So this
    # process dies with the tracer.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if priority == LOWEST:
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    for line in sys.stdin:
        path, offset = json.loads(line)
        print(json.dumps(_name(path, offset)), flush=True)


def _name(path: str, offset: int) -> str | None:
    try:
        return function_at(path, offset)
    except (ImportError, OSError, ValueError, RuntimeError):
        # lief is missing, or it cannot read the file. The code has no name then.
        return None
