"""``htrun``: run a program and record its events."""

from __future__ import annotations

import os
import signal
import sys
from typing import NoReturn

from htrun.commands.options import Information, Request, parse
from htrun.commands.output import show
from htrun.errors import HtrunError


def main() -> int:
    """Run htrun with the arguments of this process; its exit code. Does not return where the program takes over."""
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


def _run(request: Request) -> NoReturn:
    if request.options.verbosity >= 0:
        for name in request.unknown_events:
            print(f"htrun: warning: there is no event {name!r}; -trace help lists them", file=sys.stderr)
    # Only now: help and mistakes need none of what a run imports.
    from htrun.runner.run import run

    run(request.options)


if __name__ == "__main__":
    sys.exit(main())
