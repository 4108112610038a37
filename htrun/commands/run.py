"""``htrun``: run a program and record its events."""

from __future__ import annotations

import gc
import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from htrun.commands.options import Request as RunRequest


def main() -> int:
    """Run htrun with the arguments of this process; its exit code. Does not return where the program takes over."""
    # What is imported stays, and each look for garbage in it makes the start longer: a tenth of it in all. The tracer
    # enables it again (htrun/runner/run.py).
    gc.disable()
    from htrun.commands.options import Information, Request, parse
    from htrun.errors import HtrunError
    from htrun.reports.output import show

    try:
        match parse(sys.argv[1:], os.environ):
            case Information(text):
                show(text)
                return 0
            case Request() as request:
                _run(request)
    except HtrunError as error:
        print(f"htrun: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        # Die of it, so that the shell knows and stops its own script as well.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
        raise


def _run(request: RunRequest) -> NoReturn:
    if request.options.verbosity >= 0:
        for name in request.unknown_events:
            print(f"htrun: warning: there is no event {name!r}; -trace help lists them", file=sys.stderr)
    # Only now: help and mistakes need none of what a run imports.
    from htrun.runner.run import run

    run(request.options)


if __name__ == "__main__":
    sys.exit(main())
