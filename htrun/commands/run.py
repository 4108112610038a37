"""``htrun``: run a program and record its events."""

from __future__ import annotations

import errno
import gc
import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

from htrun.hosts import is_supported

if TYPE_CHECKING:
    from collections.abc import Sequence

    from htrun.commands.options import Request as RunRequest
    from htrun.launch.launcher import Launcher

_OWN_FAILURE = 125
"""As `htrun.errors.ExitCode`, before it is imported."""
_PROCESS_ONE = "--process-one="
"""As `htrun.runner.process_one.OPTION`, which others need not import."""


def main() -> int:
    """Run htrun with the arguments of this process; its exit code. Does not return where it traces a program."""
    if not is_supported():
        from sysconfig import get_platform

        sys.stderr.write(f"htrun: htrun runs on x86-64 Linux only; this is Python for {get_platform()}\n")
        return _OWN_FAILURE
    # What is imported stays, and each look for garbage in it makes the start longer: a tenth of it in all. The tracer
    # enables it again (htrun/runner/run.py).
    gc.disable()
    if sys.argv[1:2] and sys.argv[1].startswith(_PROCESS_ONE):
        from htrun.runner.process_one import serve

        serve(int(sys.argv[1].removeprefix(_PROCESS_ONE)))
    from htrun.launch.launcher import Launcher

    launcher = Launcher.of(sys.argv)
    if launcher is None:
        return _unlaunched()
    # The terminal's signals are the program's.
    os.setsid()
    code, message = _attempt(sys.argv[2:], launcher)
    launcher.exit(code, message)
    return code


def _unlaunched() -> int:
    """As ``python -m htrun`` the same from the launcher on; help and mistakes are printed right here."""
    try:
        code, message = _attempt(sys.argv[1:], None)
    except KeyboardInterrupt:
        # Die of it, so that the shell knows and stops its own script as well.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
        raise
    sys.stderr.write(message)
    return code


def _attempt(words: Sequence[str], launcher: Launcher | None) -> tuple[int, str]:
    """Do what ``words`` ask for; the exit code and what is to be said where that is no run."""
    from htrun.commands.options import Information, Request, parse
    from htrun.errors import ExitCode, HtrunError
    from htrun.reports.output import show

    try:
        match parse(words, os.environ):
            case Information(text):
                show(text)
            case Request() as request if launcher is not None:
                _run(request, launcher)
            case Request():
                from htrun.launch.launcher import start

                start(words, sys.executable)
    except HtrunError as error:
        return error.exit_code, f"htrun: {error}\n"
    except ImportError as error:
        return ExitCode.OWN_FAILURE, f"htrun: cannot import a part of htrun or Python: {error}\n"
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            # From wherever a module is imported.
            return ExitCode.OWN_FAILURE, f"htrun: {error.strerror}: raise the limit (ulimit -n)\n"
        if not isinstance(error, FileNotFoundError):
            raise
        # From wherever a relative path is made absolute.
        if _directory_exists():
            raise
        return ExitCode.OWN_FAILURE, "htrun: the working directory was removed; give absolute paths, or go elsewhere\n"
    return 0, ""


def _directory_exists() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


def _run(request: RunRequest, launcher: Launcher) -> NoReturn:
    if request.options.verbosity >= 0:
        for name in request.unknown_events:
            print(f"htrun: warning: there is no event {name!r}; -trace help lists them", file=sys.stderr)
    if _is_valgrind(launcher.pid):
        from htrun.errors import HtrunError

        raise HtrunError("htrun cannot run inside valgrind, which knows no seccomp filters: try htrun valgrind PROGRAM")
    # Only now: help and mistakes need none of what a run imports.
    from htrun.runner.run import run

    run(request.options, launcher)


def _is_valgrind(pid: int) -> bool:
    """Whether valgrind runs the process, whose executable file is then one of valgrind's."""
    try:
        return "/valgrind/" in os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main())
