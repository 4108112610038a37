"""``htrun``: run a program and record its events."""

from __future__ import annotations

import errno
import gc
import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

from htrun.hosts import can_trace, is_supported

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from htrun.commands.options import RunRequest
    from htrun.launch.launcher import Launcher

_OWN_FAILURE = 125
"""The value of `htrun.errors.ExitCode.OWN_FAILURE`, which is not imported yet."""
_PROCESS_ONE = "--process-one="
"""The same string as in `htrun/launch/launcher.S`."""
_SUPERVISE = "--supervise="
"""The same string as `htrun.runner.supervisor.OPTION`. Only supervisors import that module."""


def main() -> int:
    """Run htrun with the arguments of this process. Returns the exit code. Does not return if it traces a program."""
    if not is_supported():
        from sysconfig import get_platform

        sys.stderr.write(f"htrun: htrun runs on 64-bit little-endian Linux only; this is Python for {get_platform()}\n")
        return _OWN_FAILURE
    # Imported modules never become garbage, and garbage collection takes a tenth of the start-up time. The tracer
    # enables the collector again (htrun/runner/run.py).
    gc.disable()
    if sys.argv[1:2] and sys.argv[1].startswith(_PROCESS_ONE):
        from htrun.runner.process_one import serve

        serve(int(sys.argv[1].removeprefix(_PROCESS_ONE)))
    if sys.argv[1:2] and sys.argv[1].startswith(_SUPERVISE):
        from htrun.runner import supervisor

        supervisor.serve(sys.argv[1].removeprefix(_SUPERVISE))
    from htrun.launch.launcher import Launcher

    launcher = Launcher.of(sys.argv)
    if launcher is None:
        return run_words(sys.argv[1:])
    # The terminal's signals are meant for the program.
    os.setsid()
    code, message = _attempt(sys.argv[2:], launcher)
    launcher.exit(code, message)
    return code


def run_words(words: Sequence[str]) -> int:
    """Run htrun with the arguments ``words``, as ``python -m htrun`` does: print help and errors here, or execute the
    launcher if there is a program to run. Returns the exit code."""
    try:
        code, message = _attempt(words, None)
    except KeyboardInterrupt:
        # Die from the signal, so that a shell stops its script, too.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
        raise
    sys.stderr.write(message)
    return code


def _attempt(words: Sequence[str], launcher: Launcher | None) -> tuple[int, str]:
    """Execute the request in ``words``. Returns the exit code and the message to print, unless a program is run."""
    return _guarded(lambda: _execute(words, launcher))


def _execute(words: Sequence[str], launcher: Launcher | None) -> None:
    """Execute the request in ``words``."""
    from htrun.commands.options import HELP, Information, RunRequest, parse
    from htrun.reports.output import show

    match parse(words, os.environ):
        case Information(text):
            show(_fitted(text) if text is HELP else text)
        case RunRequest() as request if launcher is not None:
            _run(request, launcher)
        case RunRequest() if can_trace():
            from htrun.launch.launcher import start

            start(words, sys.executable)
        case RunRequest() as request:
            _launch(request)


def _guarded(action: Callable[[], None]) -> tuple[int, str]:
    """Do ``action``. Returns the exit code and the message to print."""
    from htrun.errors import ExitCode, HtrunError

    try:
        action()
    except HtrunError as error:
        return error.exit_code, f"htrun: {error}\n"
    except ImportError as error:
        return ExitCode.OWN_FAILURE, f"htrun: cannot import a part of htrun or Python: {error}\n"
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            # Any import can raise this error.
            return ExitCode.OWN_FAILURE, f"htrun: {error.strerror}: raise the limit (ulimit -n)\n"
        if not isinstance(error, FileNotFoundError):
            raise
        # If the working directory is gone, this error is raised when a relative path is made absolute.
        if _directory_exists():
            raise
        return (
            ExitCode.OWN_FAILURE,
            "htrun: the working directory was removed; give absolute paths, or change to another directory\n",
        )
    return 0, ""


def _launch(request: RunRequest) -> NoReturn:
    """Launch the program where there is no launcher in assembly. Raises `HtrunError`."""
    from htrun.launch.portable import launch
    from htrun.runner import process_one, supervisor

    def record(launcher: Launcher) -> None:
        launcher.exit(*_guarded(lambda: _run(request, launcher)))

    option = launch(record, process_one.serve)
    supervisor.serve(option.removeprefix(_SUPERVISE))


def _fitted(text: str) -> str:
    # Imported only here, because a run does not need it.
    from htrun.commands.help_text import fitted

    return fitted(text)


def _directory_exists() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


def _run(request: RunRequest, launcher: Launcher) -> NoReturn:
    if request.options.verbosity >= 0:
        if request.remark is not None:
            print(f"htrun: warning: {request.remark}", file=sys.stderr)
        for name in request.unknown_events:
            print(f"htrun: warning: there is no event {name!r}; -trace help lists them", file=sys.stderr)
    # Imported only here, because help and errors do not need it.
    from htrun.runner.run import run

    run(request.options, launcher)


if __name__ == "__main__":
    sys.exit(main())
