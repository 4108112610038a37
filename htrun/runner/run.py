"""One run, put together: resolve the program, make the channel, have the launcher become the program, trace it, account
for it."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from htrun.channel.file import Channel
from htrun.errors import HtrunError
from htrun.launch.environment import guest_environment
from htrun.launch.launcher import Launcher, Program
from htrun.launch.program import Kind, resolve
from htrun.launch.system import Device, with_device
from htrun.runner.limits import lift_limits, require_room
from htrun.runner.options import RunOptions
from htrun.runner.outputs import Outputs
from htrun.runner.wanted_calls import calls_to_record
from htrun.runner.withstand import await_end, withstand
from htrun.tracee import seccomp
from htrun.tracee.spawn import Tracer, trace

if TYPE_CHECKING:
    from htrun.runner.session import Session


def run(options: RunOptions, launcher: Launcher) -> NoReturn:
    """Run ``options.program`` in the process of ``launcher``, and trace it. Returns only by raising `HtrunError`, with
    nothing left behind."""
    withstand()
    _occupy_standard_streams()
    launch = resolve(options.program, os.environ, sysroot=options.sysroot, emulator=options.emulator)
    channel = _channel(options)
    try:
        if launch.kind is Kind.SYSTEM:
            device = Device(str(channel.path), channel.layout.total_size)
            add = options.device and channel.reachable
            argv = with_device(launch.argv, device, add=add, emulator=launch.executable)
            launch = launch._replace(argv=argv)
        outputs = Outputs.open(options, launch)
    except BaseException:
        channel.remove()
        raise
    environment = launcher.environment()
    if channel.reachable:
        environment = guest_environment(environment, os.fsencode(channel.path))
    program = Program(
        launch.executable,
        launch.argv,
        environment,
        seccomp.first_filter(calls_to_record(options), channel=options.channel_recorded),
        options.processors,
    )
    big_endian = bool(launch.guest and launch.guest.big_endian)
    tracer = Tracer(
        prepare=lambda: _prepare(channel),
        undo=channel.remove,
        start=lambda: launcher.become(program),
        trace=lambda first: _trace(first, options, channel, outputs, big_endian=big_endian),
    )
    try:
        trace(launcher.pid, tracer)
    except BaseException:
        channel.remove()
        raise


def _channel(options: RunOptions) -> Channel:
    """The run's channel. A run that does not record what is stored to it needs no place for one, unless one is named.
    Raises `HtrunError`."""
    try:
        return Channel.create(options.path, options.layout)
    except HtrunError:
        if options.channel_recorded or options.path is not None:
            raise
        return Channel.without_path(options.layout)


def _prepare(channel: Channel) -> None:
    """Raises `HtrunError`; the program has not started yet."""
    lift_limits()
    require_room()
    channel.publish(os.getpid())


def _trace(program: int, options: RunOptions, channel: Channel, outputs: Outputs, *, big_endian: bool) -> NoReturn:
    """The tracer's whole life. Its end, by whatever way, lets the first process's end be seen."""
    try:
        try:
            # numpy's linear algebra, of which nothing is used, would start a thread for each processor (OpenBLAS).
            os.environ["OPENBLAS_NUM_THREADS"] = "1"
            _trace_and_account(program, options, channel, outputs, big_endian=big_endian)
        finally:
            channel.remove()
    except Exception as error:
        _report(error, options)
        os._exit(1)
    # Not sys.exit: the kernel lets the held death of the first process be seen when this process is gone
    # (kernel/exit.c, exit_notify), so nothing may come between the last byte written and that.
    os._exit(0)


def _trace_and_account(
    program: int, options: RunOptions, channel: Channel, outputs: Outputs, *, big_endian: bool
) -> None:
    # Only now: the program starts meanwhile.
    import threading

    from htrun.runner.session import Session

    session = Session(program, options, channel, outputs, big_endian=big_endian)
    # The start is over (htrun/commands/run.py). What is there now is never garbage.
    gc.freeze()
    gc.enable()
    threading.Thread(target=_end_when_told, args=(session, channel), daemon=True).start()
    channel.clear_left_behind()
    try:
        session.run()
    except Exception as error:
        session.note_failure(error)
        raise
    finally:
        # So that nobody opens it who comes after the last process, while records are still being written.
        channel.remove()
        session.finish()


def _end_when_told(session: Session, channel: Channel) -> None:
    """If the tracer is told to end, kill the program, whose records are then still written; if it is told again, leave
    at once (a reader of the log may have stopped reading)."""
    await_end()
    session.kill()
    await_end()
    channel.remove()
    os._exit(1)


def _report(error: Exception, options: RunOptions) -> None:
    if isinstance(error, HtrunError):
        message = f"{error}; the program is killed"
    else:
        hint = "" if options.verbosity > 0 else " with what -v shows"
        message = f"internal error: {type(error).__name__}: {error}; the program is killed. Please report it{hint}."
    # Standard error may be gone; then nobody can be told.
    with suppress(OSError):
        sys.stderr.write(f"htrun: {message}\n")
        if options.verbosity > 0:
            import traceback

            traceback.print_exception(error)
        sys.stderr.flush()


def _occupy_standard_streams() -> None:
    """If the user has closed standard input, output or error, see that no file of ours takes its number: the tracer
    gives these three away. The program gets them closed, as it would alone (each is closed by its exec)."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
