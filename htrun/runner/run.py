"""One run, put together: resolve the program, make the channel, become the program, trace it, account for it."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

from htrun.channel.file import Channel
from htrun.errors import HtrunError
from htrun.launch.environment import guest_environment
from htrun.launch.program import resolve
from htrun.runner.options import RunOptions
from htrun.runner.outputs import Outputs
from htrun.tracee.spawn import Tracer, become

if TYPE_CHECKING:
    from types import FrameType


class Terminated(BaseException):
    """Somebody has sent the tracer itself a signal to end."""


def run(options: RunOptions) -> NoReturn:
    """Run ``options.program``. Returns only by exec or by raising `HtrunError`, with nothing left behind."""
    launch = resolve(options.program, os.environ, sysroot=options.sysroot, emulator=options.emulator)
    channel = Channel.create(options.path, options.layout)
    try:
        outputs = Outputs.open(options, launch)
    except HtrunError:
        channel.remove()
        raise
    environment = guest_environment(os.environ, str(channel.path))

    big_endian = bool(launch.guest and launch.guest.big_endian)
    tracer = Tracer(
        prepare=lambda: channel.publish(os.getpid()),
        trace=lambda program: _trace(program, options, channel, outputs, big_endian=big_endian),
    )
    try:
        become(launch.executable, launch.argv, environment, tracer)
    except HtrunError:
        channel.remove()
        raise


def _trace(program: int, options: RunOptions, channel: Channel, outputs: Outputs, *, big_endian: bool) -> NoReturn:
    """The tracer's whole life. Its end, by whatever way, lets the first process's end be seen."""
    from htrun.runner.session import Session

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, _terminate)
    try:
        session = Session(program, options, channel, outputs, big_endian=big_endian)
        try:
            session.run()
        except Terminated:
            session.kill()
        finally:
            channel.remove()
            session.finish()
    except Exception as error:
        _report(error, options)
        os._exit(1)
    # Not sys.exit: the kernel lets the held death of the first process be seen when this process is gone
    # (kernel/exit.c, exit_notify), so nothing may come between the last byte written and that.
    os._exit(0)


def _terminate(number: int, _frame: FrameType | None) -> None:
    for other in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(other, signal.SIG_IGN)
    raise Terminated(number)


def _report(error: Exception, options: RunOptions) -> None:
    sys.stderr.write(f"htrun: internal error: {type(error).__name__}: {error}; the program is killed. Please report it")
    sys.stderr.write("\n" if options.verbosity > 0 else " with what -v shows.\n")
    if options.verbosity > 0:
        import traceback

        traceback.print_exception(error)
    sys.stderr.flush()
