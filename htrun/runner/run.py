"""Makes one run from start to end: finds the program, creates the channel, lets the launcher become the program, traces
it, and writes the summary."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from htrun import hosts
from htrun.channel.file import Channel
from htrun.channel.ring_layout import COUNTER_OFFSET, counter_fields
from htrun.errors import HtrunError
from htrun.launch.launcher import Launcher
from htrun.launch.program import Launch, ProgramKind, resolve
from htrun.launch.system import Device, with_device
from htrun.runner.limits import has_address_space, lift_limits, require_room
from htrun.runner.options import RunOptions, Via
from htrun.runner.outputs import Outputs
from htrun.runner.starts import LaunchedProgram, Start, UntracedProgram
from htrun.runner.withstand import await_end, withstand
from htrun.tracee.spawn import CannotTraceError, release_inherited, require_host

if TYPE_CHECKING:
    from htrun.runner.recorded_run import RecordedRun


def run(options: RunOptions, launcher: Launcher) -> NoReturn:
    """Run ``options.program`` in the process of ``launcher``, and trace it. Never returns normally. If it raises
    `HtrunError`, it has cleaned up everything."""
    withstand()
    _occupy_standard_streams()
    launch = resolve(options.program, os.environ, sysroot=options.sysroot, emulator=options.emulator)
    channel = _channel(options)
    try:
        if launch.kind is ProgramKind.SYSTEM:
            launch = _with_device(launch, options, channel)
        if options.sched and hosts.can_trace():
            from htrun.sched.event import require_events

            require_events()
        outputs = Outputs.open(options, launch)
        _prepare(channel)
        # This is the last step, because from here on the launcher dies when this process exits. Until then, the
        # launcher can report an error.
        start, options = _started(options, launch, launcher, channel)
        release_inherited()
        start.go()
    except BaseException:
        channel.remove()
        raise
    _trace(start, options, channel, outputs)


def _started(options: RunOptions, launch: Launch, launcher: Launcher, channel: Channel) -> tuple[Start, RunOptions]:
    """The way to start the program, and the options for this way. The program also runs untraced if it cannot be traced
    and nothing requires a tracer. Raises `HtrunError`."""
    if not options.no_ptrace:
        try:
            require_host()
            start = LaunchedProgram(options, launch, launcher, channel)
            start.seize()
        except CannotTraceError as error:
            rings = options.untraced().rings
            if launch.kind is ProgramKind.SYSTEM or channel.rings is None or rings is None or options.needs_ptrace:
                raise
            if options.verbosity >= 0:
                sys.stderr.write(
                    f"htrun: warning: cannot trace ({error.reason}): the program runs untraced, so only events that "
                    "the guest library writes to rings are recorded (--no-ptrace)\n"
                )
            channel.offer(rings)
            options = options.untraced()
        else:
            return start, options
    untraced = UntracedProgram(options, launch, launcher, channel)
    untraced.seize()
    return untraced, options


def _with_device(launch: Launch, options: RunOptions, channel: Channel) -> Launch:
    """Change the start of a machine so that the channel is a device of the machine. Raises `HtrunError` if this is
    impossible."""
    device = Device.of(str(channel.path), channel.layout, channel.rings)
    add = options.device and channel.reachable
    return launch._replace(argv=with_device(launch.argv, device, add=add, emulator=launch.executable))


def _channel(options: RunOptions) -> Channel:
    """Create the channel of the run. If the user gave no path and stores are not recorded, the run can do without the
    channel's file. Raises `HtrunError`."""
    rings = options.rings
    if rings is not None and not has_address_space(rings.size):
        if options.via is Via.RING or options.no_ptrace:
            option = "--no-ptrace" if options.no_ptrace else "--via ring"
            raise HtrunError(
                f"{option} needs {rings.size >> 20} MiB of address space; raise the limit (ulimit -v), or give a "
                "smaller --ring-size"
            )
        rings = None
    try:
        return Channel.create(options.path, options.layout, rings)
    except HtrunError:
        if options.channel_recorded or options.path is not None:
            raise
        return Channel.without_path(options.layout)


def _prepare(channel: Channel) -> None:
    """Prepare this process and the channel before the program starts. Raises `HtrunError`."""
    lift_limits()
    require_room()
    channel.publish(os.getpid())
    reading = hosts.machine().counter_reading() if channel.rings is not None else None
    if reading is not None:
        channel.write_header(COUNTER_OFFSET, counter_fields(*reading))


def _trace(start: Start, options: RunOptions, channel: Channel, outputs: Outputs) -> NoReturn:
    """Trace the program, and exit. When the tracer exits for any reason, the parent of the first process sees the exit
    of that process."""
    try:
        try:
            # numpy loads OpenBLAS, which would start a thread for each processor. htrun does not use OpenBLAS.
            os.environ["OPENBLAS_NUM_THREADS"] = "1"
            _trace_and_account(start, options, channel, outputs)
        finally:
            channel.remove()
    except Exception as error:
        _report(error, options)
        os._exit(1)
    # The parent sees the death of the first process only when this process is gone (kernel/exit.c, exit_notify). So
    # exit right after the last write; sys.exit would take more time.
    os._exit(0)


def _trace_and_account(start: Start, options: RunOptions, channel: Channel, outputs: Outputs) -> None:
    # Imported here, because the program is already running.
    import threading

    session = _session(start, options, channel, outputs)
    # Enable the garbage collector again (htrun/commands/run.py). It can skip all objects that exist now, because they
    # live until the end.
    gc.freeze()
    gc.enable()
    threading.Thread(target=_end_when_asked, args=(session, channel), daemon=True).start()
    channel.clear_left_behind()
    try:
        session.run()
    except Exception as error:
        session.note_failure(error)
        raise
    finally:
        # Remove the path now, so that no other process opens the channel while the remaining records are written.
        channel.remove()
        session.finish()


def _session(start: Start, options: RunOptions, channel: Channel, outputs: Outputs) -> RecordedRun:
    if isinstance(start, UntracedProgram):
        from htrun.runner.untraced_run import UntracedRun

        return UntracedRun(start.link(), start.clocks, options, channel, outputs)
    from htrun.runner.session import Session

    assert isinstance(start, LaunchedProgram)
    return Session(start, options, channel, outputs)


def _end_when_asked(session: RecordedRun, channel: Channel) -> None:
    """End the run when the tracer is asked to end; its records are still written. At the second request, exit
    immediately: the write may be blocked because the reader of the log has stopped reading."""
    await_end()
    session.end()
    await_end()
    channel.remove()
    os._exit(1)


def _report(error: Exception, options: RunOptions) -> None:
    if isinstance(error, HtrunError):
        message = f"{error}; the program is killed"
    else:
        hint = "" if options.verbosity > 0 else " with what -v shows"
        message = f"internal error: {type(error).__name__}: {error}; the program is killed. Please report it{hint}."
    # Standard error may be closed, so the write may fail.
    with suppress(OSError):
        sys.stderr.write(f"htrun: {message}\n")
        if options.verbosity > 0:
            import traceback

            traceback.print_exception(error)
        sys.stderr.flush()


def _occupy_standard_streams() -> None:
    """Open files for standard input, output and error if the user has closed them, so that no other file of htrun gets
    their numbers. The tracer later replaces input and output, and prints to standard error. The exec of the program
    closes these files, so the program still starts with the same streams closed, as without htrun."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
